/** The load of a test: a Deployment in the mesh, and what its container has printed, read from the log's file. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@meltemi/testing';
import { REPOSITORY_ROOT, type Walkthrough } from '../environment-harness.ts';

/** One answer to the load, or one line about its download. */
export interface LoadAnswer {
  /** Unix milliseconds. */
  readonly sentMs: number;
  readonly durationMs: number;
  /** The version that answered, `DOWNLOADED <bytes>`, or `FAILED` with what went wrong. */
  readonly result: string;
}

/** Adds the image of the load to a mesh.yaml. */
export function withLoadImage(meshYaml: string): string {
  return meshYaml.replace(
    /^images:\n/m,
    'images:\n  - image: meltemi/load\n    command: [node, tests/walkthrough/load/generator.ts]\n',
  );
}

/** What the load has seen so far. */
export class RecordedLoad {
  readonly #podsDirectory: string;

  private constructor(podsDirectory: string) {
    this.#podsDirectory = podsDirectory;
  }

  /** Starts the load in namespace app1 of cluster1; resolves when answers and the download flow. */
  static async start(mesh: Walkthrough): Promise<RecordedLoad> {
    const manifest = readFileSync(join(REPOSITORY_ROOT, 'tests/walkthrough/load/load.yaml'), 'utf8');
    const applied = await mesh.meltemi(['apply', '-n', 'app1', '-f', '-'], manifest);
    assert.equal(applied.code, 0, applied.stderr);
    const load = new RecordedLoad(join(mesh.directory, '.meltemi/clusters/cluster1/pods'));
    // The first answers may come before everything is in place; they are nobody's promise.
    await eventually(() => {
      const recent = load.since(Date.now() - 2_000);
      assert.ok(recent.length > 300, `only ${recent.length} answers in 2 s`);
      assert.deepEqual(failuresOf(recent), []);
      const bytes = recent.map(({ result }) => Number(/^DOWNLOADED (\d+)$/.exec(result)?.[1] ?? 0));
      assert.ok(Math.max(...bytes) > 0, 'the download flows');
    }, 60_000);
    return load;
  }

  /** All that was sent since a moment, in the order of the answers. */
  since(unixMs: number): readonly LoadAnswer[] {
    return this.#read().filter(({ sentMs }) => sentMs >= unixMs);
  }

  #read(): LoadAnswer[] {
    return this.#logFiles()
      .flatMap((path) => readFileSync(path, 'utf8').split('\n'))
      .flatMap((line) => {
        const match = /^\S+ stdout F (\d{13}) (\d+) (.*)$/.exec(line);
        if (match === null) return [];
        return [{ sentMs: Number(match[1]), durationMs: Number(match[2]), result: match[3] as string }];
      });
  }

  #logFiles(): readonly string[] {
    return readdirSync(this.#podsDirectory).flatMap((uid) => {
      try {
        const directory = join(this.#podsDirectory, uid, 'load');
        return readdirSync(directory)
          .sort()
          .toReversed()
          .map((name) => join(directory, name));
      } catch {
        return [];
      }
    });
  }
}

/** What went wrong. */
export function failuresOf(answers: readonly LoadAnswer[]): readonly LoadAnswer[] {
  return answers.filter(({ result }) => result.startsWith('FAILED'));
}

/** How often each version answered. */
export function versionsOf(answers: readonly LoadAnswer[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { result } of answers) if (/^v\d/.test(result)) counts[result] = (counts[result] ?? 0) + 1;
  return counts;
}
