import { readFile } from 'node:fs/promises';

/**
 * Says in words what a token file holds, for the operator whose token was refused. Nothing is verified, and nothing of the
 * token itself is repeated but its audiences and its end.
 */
export async function describeTokenFile(path: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).trim();
  } catch {
    return `${path} (gone)`;
  }
  const claims = decodeClaims(text);
  if (claims === undefined) return `${path} (not a JWT)`;
  const { aud, exp } = claims;
  const audiences = (Array.isArray(aud) ? aud : [aud]).filter((audience) => typeof audience === 'string');
  const end = typeof exp === 'number' && exp < 1e11 ? new Date(exp * 1000).toISOString() : 'never';
  return `${path} (audience ${audiences.join(', ') || 'none'}, ends ${end})`;
}

function decodeClaims(token: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    // Every member is checked where it is used.
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
