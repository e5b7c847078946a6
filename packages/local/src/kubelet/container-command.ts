import type { Container } from '@meltemi/kube';
import type { ImageCommand } from './image-map.ts';

/**
 * Replaces `$(NAME)` by the variable's value; an unknown name stays as it is written, and `$$(NAME)` becomes `$(NAME)`.
 *
 * @see Kubernetes, third_party/forked/golang/expansion
 */
export function expandVariables(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (match, name: string | undefined) =>
    match === '$$' ? '$' : name !== undefined && Object.hasOwn(env, name) ? (env[name] as string) : match,
  );
}

/**
 * The command line of a container: `command` stands in for the image's whole command, `args` for its arguments only.
 *
 * @param nodePath What the word `node` means as the program of an image.
 */
export function buildContainerArgv(
  container: Pick<Container, 'command' | 'args'>,
  image: ImageCommand,
  env: Readonly<Record<string, string>>,
  nodePath: string,
): readonly string[] {
  const expand = (words: readonly string[] = []): readonly string[] => words.map((word) => expandVariables(word, env));
  const own = container.command !== undefined && container.command.length > 0;
  const [program, ...first] = own ? expand(container.command) : image.command;
  return [program === 'node' ? nodePath : (program as string), ...first, ...expand(container.args)];
}
