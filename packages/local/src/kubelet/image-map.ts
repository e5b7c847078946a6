import { err, nearestName, ok, type Result } from '@meltemi/base';

/** How an image is run on this machine: there are no image contents, only a command. */
export interface ImageCommand {
  /** An exact reference, or a beginning that ends in `*`. */
  readonly image: string;
  /** The image's entry point and first arguments; the first word `node` is the Node that runs the kubelet. */
  readonly command: readonly string[];
  /** Directories put before the container's `PATH`, absolute. */
  readonly path?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Finds the command for an image reference. An exact entry wins over patterns, a longer pattern over a shorter one.
 *
 * @returns The entry, or a message for the pod's status that names the image and what the map has.
 */
export function resolveImage(image: string, map: readonly ImageCommand[]): Result<ImageCommand> {
  const exact = map.find((entry) => entry.image === image);
  if (exact !== undefined) return ok(exact);
  const patterns = map
    .filter((entry) => entry.image.endsWith('*') && image.startsWith(entry.image.slice(0, -1)))
    .toSorted((left, right) => right.image.length - left.image.length);
  if (patterns[0] !== undefined) return ok(patterns[0]);
  const names = map.map((entry) => entry.image);
  const near = nearestName(image, names);
  const known = near === undefined ? `known are ${names.join(', ') || 'none'}` : `did you mean ${near}?`;
  return err(`No command for image "${image}" in the image map: add it to "images" of mesh.yaml; ${known}`);
}
