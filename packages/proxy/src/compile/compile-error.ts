import { err, MeltemiError, ok, type Result } from '@meltemi/base';

/** What makes a resource unusable, with the place in it. Thrown inside `compile/` only; {@link compiling} catches it. */
export class CompileError extends MeltemiError {
  constructor(message: string) {
    super('PROXY_CONFIG_INVALID', message);
    this.name = 'CompileError';
  }
}

/** Prefixes the place to what `compile` finds wrong: `filter_chains[0]: filters[1]: …`. */
export function at<Value>(place: string, compile: () => Value): Value {
  try {
    return compile();
  } catch (error) {
    if (error instanceof CompileError) throw new CompileError(`${place}: ${error.message}`);
    throw error;
  }
}

/** Runs the compiler of one resource; what is wrong with the resource becomes a value, anything else is a bug and throws. */
export function compiling<Value>(compile: () => Value): Result<Value> {
  try {
    return ok(compile());
  } catch (error) {
    if (error instanceof CompileError) return err(error.message);
    throw error;
  }
}

/** The member, or a {@link CompileError} that names it. */
export function required<Value>(value: Value | undefined, field: string): Value {
  if (value === undefined || value === '') throw new CompileError(`${field} is required`);
  return value;
}
