import type { ServerResponse } from 'node:http';

/** Puts warnings where kubectl prints them from. */
export function setWarnings(response: ServerResponse, warnings: readonly string[]): void {
  if (warnings.length === 0 || response.headersSent) return;
  // A header holds Latin-1 without control characters; quotes and backslashes are escaped (RFC 9110, quoted-string).
  const escape = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&');
  response.setHeader(
    'Warning',
    [...new Set(warnings)].map((text) => `299 - "${escape(text)}"`),
  );
}

/** Answers with JSON: a value, or its text when that is at hand. */
export function sendJson(
  response: ServerResponse,
  code: number,
  body: object | string,
  contentType = 'application/json',
): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(code, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}
