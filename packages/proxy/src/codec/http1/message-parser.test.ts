import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { FieldBlock, RequestLine } from './head-parser.ts';
import { MessageParser } from './message-parser.ts';

interface Seen {
  readonly events: string[];
  readonly error: string | undefined;
}

/** Feeds a byte stream in pieces and writes down what the parser reports; bodies are joined. */
function parse(bytes: Buffer, cuts: readonly number[]): Seen {
  const events: string[] = [];
  let body = '';
  const parser = new MessageParser<RequestLine>(
    'request',
    { maxHeadBytes: 4096, maxHeaders: 50 },
    {
      onHead(line: RequestLine, fields: FieldBlock) {
        events.push(`${line.method} ${line.target} ${fields.host} ${fields.headers.names.join()}`);
        if (fields.chunked) return 'chunked';
        return fields.contentLength > 0 ? 'length' : 'none';
      },
      onBody(chunk) {
        body += chunk.toString('latin1');
      },
      onMessageEnd() {
        events.push(`body ${body}`);
        body = '';
      },
    },
  );
  const edges = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  for (let index = 1; index < edges.length; index++) {
    let piece = bytes.subarray(edges[index - 1], edges[index]);
    while (piece.length > 0 && parser.error === undefined) {
      const taken = parser.execute(piece);
      assert.ok(taken > 0 || parser.error !== undefined, 'the parser makes progress');
      piece = piece.subarray(taken);
    }
  }
  return { events, error: parser.error?.details };
}

const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}$/);
const value = fc.stringMatching(/^[!-~][ -~]{0,20}[!-~]$/);
const bodyText = fc.string({ unit: fc.constantFrom('a', '\r', '\n', '0', ':'), maxLength: 40 });

const message = fc
  .record({
    target: fc.webPath({ size: 'small' }).map((path) => (path.startsWith('/') ? path : `/${path}`)),
    fields: fc.array(fc.tuple(token, value), { maxLength: 6 }),
    body: bodyText,
    chunkSizes: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 6 }),
    isChunked: fc.boolean(),
  })
  .map(({ target, fields, body, chunkSizes, isChunked }) => {
    const special = /^(content-length|transfer-encoding|connection|upgrade|host|expect)$/i;
    const lines = fields.filter(([name]) => !special.test(name)).map(([name, text]) => `${name}: ${text}\r\n`);
    const head = `POST ${target} HTTP/1.1\r\nHost: h\r\n${lines.join('')}`;
    if (!isChunked) return `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
    let rest = body;
    let chunks = '';
    for (const size of [...chunkSizes, 1000]) {
      const chunk = rest.slice(0, size);
      if (chunk === '') break;
      chunks += `${chunk.length.toString(16)};x=y\r\n${chunk}\r\n`;
      rest = rest.slice(size);
    }
    return `${head}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\nx-trailer: 1\r\n\r\n`;
  });

test('a byte stream parses the same however it is cut', () => {
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 3 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      (messages, cuts) => {
        const bytes = Buffer.from(messages.join(''), 'latin1');
        const whole = parse(bytes, []);
        assert.equal(whole.error, undefined);
        assert.equal(whole.events.length, messages.length * 2);
        assert.deepEqual(parse(bytes, cuts), whole);
      },
    ),
  );
});

test('damaged streams give the same verdict however they are cut', () => {
  fc.assert(
    fc.property(
      message,
      fc.nat(),
      fc.constantFrom('\n', '\r', '\0', ' ', ':', 'G'),
      fc.array(fc.nat(), { maxLength: 12 }),
      (text, position, damage, cuts) => {
        const at = position % text.length;
        const bytes = Buffer.from(`${text.slice(0, at)}${damage}${text.slice(at)}`, 'latin1');
        assert.deepEqual(parse(bytes, cuts).events, parse(bytes, []).events);
      },
    ),
  );
});

test('one byte at a time costs no more than the head is long', () => {
  const bytes = Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nx: ${'y'.repeat(3000)}\r\n\r\n`);
  const cuts = Array.from({ length: bytes.length }, (_, index) => index);
  assert.equal(parse(bytes, cuts).events.length, 2);
});

const broken: readonly (readonly [string, string])[] = [
  ['a chunk size with a sign', '+5\r\nhello\r\n0\r\n\r\n'],
  ['a chunk size with a prefix', '0x5\r\nhello\r\n0\r\n\r\n'],
  ['an empty chunk size', '\r\nhello\r\n'],
  ['a bare LF behind a chunk size', '5\nhello\r\n0\r\n\r\n'],
  ['no CRLF behind a chunk', '5\r\nhelloX\r\n0\r\n\r\n'],
  ['seventeen digits', '00000000000000005\r\nhello\r\n0\r\n\r\n'],
  ['a huge extension', `5;${'x'.repeat(5000)}\r\nhello\r\n0\r\n\r\n`],
  ['a bare LF in trailers', '0\r\nx: y\n\r\n'],
];

for (const [name, body] of broken) {
  test(`a chunked body with ${name} is refused`, () => {
    const bytes = Buffer.from(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`);
    assert.equal(parse(bytes, []).error, 'http1.codec_error');
  });
}
