/** Header fields as decisions look at them. */
export interface HeaderView {
  /** First value; the name is lower case. */
  get(name: string): string | undefined;
  /** Repeated fields joined by `,`. */
  joined(name: string): string | undefined;
  /** Every value, in the order received. */
  all(name: string): readonly string[];
}

/** A request as decisions see it; the proxy's own request heads have this shape. */
export interface RequestView {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly authority: string | undefined;
  readonly scheme: string | undefined;
  readonly headers: HeaderView;
}

/** A header field by its lower-case name, or what a pseudo-header such as `:path` stands for. */
export function readRequestField(request: RequestView, name: string): string | undefined {
  switch (name) {
    case ':method':
      return request.method;
    case ':path':
      return request.path;
    case ':authority':
    case 'host':
      return request.authority;
    case ':scheme':
      return request.scheme;
    default:
      return request.headers.joined(name);
  }
}

/** The path up to the query or fragment. */
export function pathWithoutQuery(path: string): string {
  for (let at = 0; at < path.length; at++) {
    const code = path.charCodeAt(at);
    if (code === 0x3f || code === 0x23) return path.slice(0, at);
  }
  return path;
}

/** Whether a content type is gRPC's (`application/grpc` or `application/grpc+…`). */
export function isGrpcContentType(contentType: string | undefined): boolean {
  if (contentType === undefined || !contentType.startsWith('application/grpc')) return false;
  return contentType.length === 16 || contentType[16] === '+';
}
