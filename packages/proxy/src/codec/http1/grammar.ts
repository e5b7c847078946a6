/** Bytes that may stand in a method or a field name (RFC 9110 section 5.6.2 `token`). */
export const IS_TOKEN: Uint8Array = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  IS_TOKEN[character.charCodeAt(0)] = 1;
}

/** Bytes that may stand in a field value: visible ones, space, tab and 0x80 and above. */
export const IS_VALUE: Uint8Array = new Uint8Array(256).fill(1, 0x20);
IS_VALUE[0x09] = 1;
IS_VALUE[0x7f] = 0;

/** Bytes that may stand in a request target: no space, no control. */
export const IS_TARGET: Uint8Array = new Uint8Array(256).fill(1, 0x21);
IS_TARGET[0x7f] = 0;

/** Methods that are let through; anything else is a 400, so that a garbled line never reaches an upstream. */
export const KNOWN_METHODS: ReadonlySet<string> = new Set(
  (
    'GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY ' +
    'MKCALENDAR MKCOL MOVE NOTIFY PROPFIND PROPPATCH PURGE REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK UNLOCK ' +
    'UNSUBSCRIBE QUERY'
  ).split(' '),
);

/** The value of a hexadecimal digit's byte, or -1. */
export function hexDigitValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

const MAX_INTERNED = 2048;
const interned = new Map<string, string>();

/**
 * A field name in lower case, as one string object per spelling: equal names are then equal pointers.
 *
 * The table is bounded, so that a peer inventing names cannot fill memory.
 */
export function lowerCaseName(text: string): string {
  const known = interned.get(text);
  if (known !== undefined) return known;
  // Through a Buffer: `text` may be a slice that would keep the whole head of its first request alive.
  const name = Buffer.from(text.toLowerCase(), 'latin1').toString('latin1');
  if (interned.size < MAX_INTERNED) interned.set(Buffer.from(text, 'latin1').toString('latin1'), name);
  return name;
}

/** Whether a comma-separated field value holds `token`, in any letter case. */
export function hasToken(value: string, token: string): boolean {
  if (value.length === token.length) return value === token || value.toLowerCase() === token;
  for (const part of value.split(',')) {
    if (part.trim().toLowerCase() === token) return true;
  }
  return false;
}
