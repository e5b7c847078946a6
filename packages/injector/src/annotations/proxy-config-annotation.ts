import { decodeProxyConfig, hasErrors } from '@meltemi/api';
import { err, messageOf, ok, type Result } from '@meltemi/base';
import { isScalar, parseDocument, visit } from 'yaml';

/** Holds a ProxyConfig of the pod's own. */
export const PROXY_CONFIG_ANNOTATION = 'proxy.istio.io/config';

/** Far above what a ProxyConfig needs; bounds the work that whoever reaches the webhook can cause. */
const MAX_LENGTH = 32 * 1024;

const REMEDY = 'it must be the YAML of a ProxyConfig';

/** Reads the annotation `proxy.istio.io/config`: a ProxyConfig, or what is wrong with it. */
export function parseProxyConfig(text: string): Result<Readonly<Record<string, unknown>>> {
  if (text.length > MAX_LENGTH) {
    return err(`it has ${text.length} characters; a ProxyConfig may have at most ${MAX_LENGTH}`);
  }
  let parsed: unknown;
  try {
    parsed = parseYamlOnce(text);
  } catch (error) {
    return err(`${REMEDY}: ${messageOf(error).split('\n')[0]}`);
  }
  if (parsed === null) return ok({});
  if (typeof parsed !== 'object' || Array.isArray(parsed)) return err(REMEDY);
  const { config, findings } = decodeProxyConfig(parsed);
  if (!hasErrors(findings)) return ok((config ?? {}) as Readonly<Record<string, unknown>>);
  const errors = findings.filter(({ severity }) => severity === 'error');
  return err(errors.map(({ path, message }) => `field ${path} ${message}`).join('; '));
}

/** Reads YAML whose keys are unique. The reader's own check compares each key with all before it. */
function parseYamlOnce(text: string): unknown {
  const document = parseDocument(text, { uniqueKeys: false });
  const [problem] = document.errors;
  if (problem !== undefined) throw problem;
  visit(document, {
    Map: (_key, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        const name = isScalar(key) ? key.value : key;
        if (seen.has(name)) throw new Error(`key "${String(name)}" is there twice; remove one`);
        seen.add(name);
      }
    },
  });
  return document.toJS();
}
