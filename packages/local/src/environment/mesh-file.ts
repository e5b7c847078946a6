import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { MeltemiError, messageOf, nearestName } from '@meltemi/base';
import { type Document, isMap, isSeq, LineCounter, parseDocument } from 'yaml';
import { SANDBOX_CHOICES, type SandboxChoice } from './choose-sandbox.ts';
import { addressAt, type Cidr, cidrsOverlap, parseCidr } from './cidr.ts';

/** How an image reference becomes a local process. */
export interface ImageCommand {
  /** An exact reference, or a prefix that ends in `*`. */
  readonly image: string;
  /** The program and its first arguments; `node` as the first word is the Node that runs the environment. */
  readonly command: readonly string[];
  /** Folders put before the container's PATH, absolute. */
  readonly path: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** One cluster of the environment. */
export interface ClusterSpec {
  readonly name: string;
  /** Counts from 1, in file order; part of the default addresses. */
  readonly index: number;
  readonly podCidr: Cidr;
  readonly serviceCidr: Cidr;
  /** The node's address: the first of the pod range. */
  readonly nodeIp: string;
  /** The cluster DNS server: the tenth address of the service range. */
  readonly dnsIp: string;
  /** Port on 127.0.0.1 for the user's clients; 0 takes any free one and keeps it. */
  readonly apiPort: number;
  /** Files applied at start, in this order, absolute paths. */
  readonly manifests: readonly ManifestEntry[];
}

/** A file that is live from the start, and the namespace that its objects default to. */
export interface ManifestEntry {
  readonly file: string;
  readonly namespace?: string;
  /** Only objects with these labels, as `kubectl apply -l`. */
  readonly selector?: string;
}

/** What `mesh.yaml` says. */
export interface MeshFile {
  readonly file: string;
  readonly name: string;
  readonly sandbox: SandboxChoice;
  readonly images: readonly ImageCommand[];
  readonly clusters: readonly ClusterSpec[];
  /** The cluster that the control plane runs in; `undefined` leaves the clusters without a mesh. */
  readonly controlPlane?: string;
  /** The program that sidecars run instead of Meltemi's own proxy, such as `envoy`. */
  readonly proxyBinary?: string;
}

type Path = readonly (string | number)[];

/** Reads values out of the parsed file and turns every fault into an error that names file, line and field. */
class MeshFileReader {
  readonly #file: string;
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;

  constructor(file: string, text: string) {
    this.#file = file;
    this.#lines = new LineCounter();
    this.#document = parseDocument(text, { lineCounter: this.#lines });
    const [error] = this.#document.errors;
    if (error !== undefined) {
      throw new MeltemiError(
        'MESH_FILE_INVALID',
        `Cannot read ${file}:${this.#lines.linePos(error.pos[0]).line}: ${error.message.split('\n')[0]}`,
      );
    }
  }

  fail(path: Path, problem: string): never {
    let node: unknown;
    for (let length = path.length; length >= 0 && node === undefined; length--)
      node = this.#document.getIn(path.slice(0, length), true);
    const offset = (node as { range?: [number, number, number] } | undefined)?.range?.[0] ?? 0;
    const field = path.reduce<string>(
      (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}.${part}`),
      '',
    );
    throw new MeltemiError(
      'MESH_FILE_INVALID',
      `${this.#file}:${this.#lines.linePos(offset).line}: ${field === '' ? '' : `${field}: `}${problem}`,
    );
  }

  text(path: Path, fallback?: string): string {
    const value: unknown = this.#document.getIn(path);
    if (value === undefined && fallback !== undefined) return fallback;
    if (typeof value !== 'string' || value === '')
      this.fail(path, `needs a text${value === undefined ? '; it is missing' : ''}`);
    return value;
  }

  optionalText(path: Path): string | undefined {
    return this.#document.getIn(path) === undefined ? undefined : this.text(path);
  }

  integer(path: Path, fallback: number): number {
    const value: unknown = this.#document.getIn(path);
    if (value === undefined) return fallback;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 65535)
      this.fail(path, 'needs a port number, 0 to 65535');
    return value;
  }

  count(path: Path): number {
    const node = this.#document.getIn(path, true);
    if (node === undefined) return 0;
    if (!isSeq(node)) this.fail(path, 'needs a list');
    return node.items.length;
  }

  texts(path: Path): string[] {
    return Array.from({ length: this.count(path) }, (_, index) => this.text([...path, index]));
  }

  textMap(path: Path): Record<string, string> {
    const node = this.#document.getIn(path, true);
    if (node === undefined) return {};
    if (!isMap(node)) this.fail(path, 'needs a mapping of names to texts');
    return Object.fromEntries(node.items.map((item) => [String(item.key), this.text([...path, String(item.key)])]));
  }

  knownFields(path: Path, known: readonly string[]): void {
    const node = path.length === 0 ? this.#document.contents : this.#document.getIn(path, true);
    if (!isMap(node)) this.fail(path, `needs a mapping with ${known.join(', ')}`);
    for (const item of node.items) {
      const name = String(item.key);
      if (known.includes(name)) continue;
      const near = nearestName(name, known);
      this.fail(
        [...path, name],
        `unknown field${near === undefined ? `; known are ${known.join(', ')}` : `; did you mean ${near}?`}`,
      );
    }
  }
}

function readCluster(reader: MeshFileReader, index: number, directory: string): ClusterSpec {
  const path = ['clusters', index];
  reader.knownFields(path, ['name', 'podCIDR', 'serviceCIDR', 'apiPort', 'manifests']);
  const name = reader.text([...path, 'name']);
  if (!/^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/.test(name))
    reader.fail([...path, 'name'], `"${name}" is not a DNS label of at most 32 characters (a-z, 0-9, -)`);
  const cidr = (field: string, fallback: string): Cidr => {
    const text = reader.text([...path, field], fallback);
    const value = parseCidr(text);
    if (value === undefined || value.prefix > 24 || value.prefix < 8) {
      reader.fail(
        [...path, field],
        `"${text}" is not an IPv4 range between /8 and /24 without host bits, such as ${fallback}`,
      );
    }
    return value;
  };
  const podCidr = cidr('podCIDR', `10.${11 + index}.0.0/16`);
  const serviceCidr = cidr('serviceCIDR', `10.${111 + index}.0.0/16`);
  const manifests = Array.from({ length: reader.count([...path, 'manifests']) }, (_, position): ManifestEntry => {
    const entry = [...path, 'manifests', position];
    reader.knownFields(entry, ['file', 'namespace', 'selector']);
    const file = resolve(directory, reader.text([...entry, 'file']));
    if (!existsSync(file)) reader.fail([...entry, 'file'], `${file} does not exist`);
    const namespace = reader.optionalText([...entry, 'namespace']);
    const selector = reader.optionalText([...entry, 'selector']);
    return { file, ...(namespace === undefined ? {} : { namespace }), ...(selector === undefined ? {} : { selector }) };
  });
  return {
    name,
    index: index + 1,
    podCidr,
    serviceCidr,
    nodeIp: addressAt(podCidr, 1),
    dnsIp: addressAt(serviceCidr, 10),
    apiPort: reader.integer([...path, 'apiPort'], 0),
    manifests,
  };
}

/** Two clusters of one mesh must not share a name or an address: name the pair and where it stands. */
function refuseConflicts(reader: MeshFileReader, clusters: readonly ClusterSpec[]): void {
  const ranges = clusters.flatMap((cluster, index) => [
    { cluster, cidr: cluster.podCidr, path: ['clusters', index, 'podCIDR'] },
    { cluster, cidr: cluster.serviceCidr, path: ['clusters', index, 'serviceCIDR'] },
  ]);
  for (const [position, range] of ranges.entries()) {
    for (const other of ranges.slice(0, position)) {
      if (!cidrsOverlap(range.cidr, other.cidr)) continue;
      reader.fail(
        range.path,
        `${range.cidr.text} overlaps ${other.path[2]} ${other.cidr.text} of cluster ${other.cluster.name}; clusters on one network need ranges of their own`,
      );
    }
  }
  for (const [index, cluster] of clusters.entries()) {
    if (clusters.slice(0, index).some((other) => other.name === cluster.name)) {
      reader.fail(
        ['clusters', index, 'name'],
        `"${cluster.name}" names two clusters; every cluster needs a name of its own`,
      );
    }
  }
}

/**
 * Reads and checks a `mesh.yaml`.
 *
 * @param file Path of the file; relative paths in it start at its `root`, which itself starts at the file's folder.
 * @throws MeltemiError `MESH_FILE_UNREADABLE`, or `MESH_FILE_INVALID` naming file, line, field and remedy.
 */
export function readMeshFile(file: string): MeshFile {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new MeltemiError(
      'MESH_FILE_UNREADABLE',
      `Cannot read ${file}: ${messageOf(error)}; an environment's folder holds a mesh.yaml`,
      { cause: error },
    );
  }
  const reader = new MeshFileReader(file, text);
  reader.knownFields(
    [],
    ['apiVersion', 'kind', 'metadata', 'sandbox', 'root', 'images', 'clusters', 'controlPlane', 'proxyBinary'],
  );
  if (reader.text(['apiVersion']) !== 'meltemi.dev/v1alpha1')
    reader.fail(['apiVersion'], 'needs to be meltemi.dev/v1alpha1');
  if (reader.text(['kind']) !== 'Environment') reader.fail(['kind'], 'needs to be Environment');
  const sandboxText = reader.text(['sandbox'], 'auto');
  const sandbox = SANDBOX_CHOICES.find((choice) => choice === sandboxText);
  if (sandbox === undefined)
    return reader.fail(['sandbox'], `"${sandboxText}" is not one of ${SANDBOX_CHOICES.join(', ')}`);
  const root = resolve(dirname(file), reader.text(['root'], '.'));
  const images = Array.from({ length: reader.count(['images']) }, (_, index): ImageCommand => {
    const path = ['images', index];
    reader.knownFields(path, ['image', 'command', 'path', 'env']);
    const command = reader.texts([...path, 'command']);
    if (command.length === 0) reader.fail([...path, 'command'], 'needs the program to run, as a list of words');
    return {
      image: reader.text([...path, 'image']),
      command: command.map((word) => (/^[^-/].*\/.*\.(?:ts|js|mjs|sh)$/.test(word) ? resolve(root, word) : word)),
      path: reader.texts([...path, 'path']).map((folder) => resolve(root, folder)),
      env: reader.textMap([...path, 'env']),
    };
  });
  const clusters = Array.from({ length: reader.count(['clusters']) }, (_, index) => readCluster(reader, index, root));
  if (clusters.length === 0) reader.fail(['clusters'], 'needs at least one cluster');
  refuseConflicts(reader, clusters);
  const controlPlane = reader.optionalText(['controlPlane']);
  if (controlPlane !== undefined && !clusters.some((cluster) => cluster.name === controlPlane)) {
    reader.fail(
      ['controlPlane'],
      `no cluster is named "${controlPlane}"; there are ${clusters.map((cluster) => cluster.name).join(', ')}`,
    );
  }
  const proxyBinary = reader.optionalText(['proxyBinary']);
  return {
    file,
    name: reader.text(['metadata', 'name'], 'default'),
    sandbox,
    images,
    clusters,
    ...(controlPlane === undefined ? {} : { controlPlane }),
    ...(proxyBinary === undefined ? {} : { proxyBinary }),
  };
}
