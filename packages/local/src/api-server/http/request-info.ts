/** What a request asks for, read from its method and path. */
export interface RequestInfo {
  /** `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the method in lower case off the API. */
  readonly verb: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Absent for paths that are not about a resource, such as /version. */
  readonly resource: ResourcePath | undefined;
}

/** The resource that a path names. */
export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  /** `''` for the object itself. */
  readonly subresource: string;
}

function parseResourcePath(path: string): ResourcePath | undefined {
  const parts = path.split('/').slice(1).map(decodeURIComponent);
  if (parts.at(-1) === '') parts.pop();
  const isCore = parts[0] === 'api';
  if (!isCore && parts[0] !== 'apis') return undefined;
  const [group, version] = isCore ? ['', parts[1]] : [parts[1], parts[2]];
  let rest = parts.slice(isCore ? 2 : 3);
  if (group === undefined || version === undefined || rest.length === 0) return undefined;
  let namespace: string | undefined;
  // /namespaces/NAME/RESOURCE is a resource in a namespace; /namespaces/NAME/status is about the namespace itself.
  if (rest[0] === 'namespaces' && rest.length > 2 && !(isCore && ['status', 'finalize'].includes(rest[2] as string))) {
    namespace = rest[1];
    rest = rest.slice(2);
  }
  const [plural, name, ...sub] = rest as [string, ...string[]];
  if (isCore && plural === 'namespaces' && name !== undefined) namespace = name;
  return { group, version, plural, namespace, name, subresource: sub.join('/') };
}

/** Reads method and URL of a request. A path that cannot be decoded throws URIError. */
export function parseRequestInfo(method: string, url: string): RequestInfo {
  const { pathname, searchParams } = new URL(url, 'https://api');
  const resource = parseResourcePath(pathname);
  const isWatch = ['1', 'true'].includes(searchParams.get('watch') ?? '');
  const verbs: Readonly<Record<string, string>> = { POST: 'create', PUT: 'update', PATCH: 'patch' };
  let verb = method === 'HEAD' ? 'get' : method.toLowerCase();
  if (resource !== undefined) {
    if (method === 'GET' || method === 'HEAD') verb = isWatch ? 'watch' : resource.name === undefined ? 'list' : 'get';
    else if (method === 'DELETE') verb = resource.name === undefined ? 'deletecollection' : 'delete';
    else verb = verbs[method] ?? verb;
  }
  return { verb, path: pathname, query: searchParams, resource };
}
