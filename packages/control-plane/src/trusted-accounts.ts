import { MeltemiError } from '@meltemi/base';

/** `<namespace>/<name>`, as Kubernetes allows both. */
const ACCOUNT_PATTERN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?\/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;

/**
 * Reads the accounts of node proxies, `<namespace>/<name>`, comma separated.
 *
 * @throws MeltemiError `USAGE` for what is no account: no caller would ever match it.
 */
export function parseTrustedAccounts(text: string): ReadonlySet<string> {
  const accounts = text
    .split(',')
    .map((account) => account.trim())
    .filter((account) => account !== '');
  const wrong = accounts.find((account) => !ACCOUNT_PATTERN.test(account));
  if (wrong === undefined) return new Set(accounts);
  throw new MeltemiError(
    'USAGE',
    `Cannot read trusted-node-accounts: "${wrong}" is not of the form <namespace>/<name>, such as kube-system/node-proxy`,
  );
}
