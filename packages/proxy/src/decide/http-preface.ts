/** What the first bytes of a plaintext connection are. */
export type HttpPreface = 'incomplete' | 'not_http' | 'http/1.0' | 'http/1.1' | 'h2c';

const H2_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const MAX_METHOD_BYTES = 24;
const MAX_LINE_BYTES = 8192;

/**
 * Looks whether a connection speaks HTTP, at its first line.
 *
 * @param text The bytes so far, one character each.
 */
export function detectHttp(text: string): HttpPreface {
  if (text.length === 0) return 'incomplete';
  if (text.startsWith(H2_PREFACE)) return 'h2c';
  if (H2_PREFACE.startsWith(text)) return 'incomplete';
  const methodEnd = text.indexOf(' ');
  const method = methodEnd === -1 ? text : text.slice(0, methodEnd);
  if (method.length === 0 || method.length > MAX_METHOD_BYTES || !/^[A-Za-z-]+$/.test(method)) return 'not_http';
  const lineEnd = text.indexOf('\n');
  if (lineEnd === -1) return text.length > MAX_LINE_BYTES ? 'not_http' : 'incomplete';
  const line = text.slice(0, lineEnd).replace(/\r$/, '');
  if (line.endsWith(' HTTP/1.1')) return 'http/1.1';
  return line.endsWith(' HTTP/1.0') ? 'http/1.0' : 'not_http';
}
