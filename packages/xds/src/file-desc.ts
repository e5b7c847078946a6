import type { DescFile } from '@bufbuild/protobuf';
import { fileDesc as libraryFileDesc } from '@bufbuild/protobuf/codegenv2';

/**
 * Describes a generated file as the library's function of this name does, in less than half of the time.
 *
 * The library registers for each file everything that it imports, and what that imports, along every path anew: with
 * Envoy's few hundred files that is most of what loading them costs. A file can name only what its imports declare or
 * import publicly, so here the library sees no further than that.
 */
export function fileDesc(encoded: string, imports: readonly DescFile[] = []): DescFile {
  const file = libraryFileDesc(encoded, imports.map(withPublicImports));
  (file as { dependencies: readonly DescFile[] }).dependencies = imports;
  return file;
}

function withPublicImports(file: DescFile): DescFile {
  const isPublic = new Set(file.proto.publicDependency);
  return { ...file, dependencies: file.dependencies.filter((_, index) => isPublic.has(index)) };
}
