/** Variants that may end a tag. */
const VARIANTS = ['distroless', 'debug'];
/** The variant without an ending. */
const DEFAULT_VARIANT = 'default';

/**
 * An image in another variant: `hub/proxyv2:1.0` as `debug` is `hub/proxyv2:1.0-debug`. A variant that the tag has
 * already is replaced.
 *
 * @param variant Empty leaves the image as it is.
 * @returns The image; as it was when it has no tag, or names its content by digest.
 */
export function toImageVariant(image: string, variant: string): string {
  if (variant === '' || !hasTag(image)) return image;
  const own = VARIANTS.find((known) => image.endsWith(`-${known}`));
  const plain = own === undefined ? image : image.slice(0, -own.length - 1);
  return variant === DEFAULT_VARIANT ? plain : `${plain}-${variant}`;
}

/** Whether an image is named by a tag. */
export function hasTag(image: string): boolean {
  const lastPart = image.slice(image.lastIndexOf('/') + 1);
  return lastPart.includes(':') && !image.includes('@');
}
