import { silentLog } from '@meltemi/base';
import { startDnsServer } from '../dns/dns-server.ts';
import { createDnsUpstream } from '../dns/dns-upstream.ts';
import { createNameLookup } from '../dns/name-lookup.ts';

// A DNS server as its own process: `dns-agent.ts ADDRESS PORT NAME IP [UPSTREAM [MARK]]`. It knows one name and passes the rest on.
const [address = '', port = '', name = '', ip = '', upstream, mark] = process.argv.slice(2);
const soMark = mark === undefined ? undefined : Number(mark);
const names = createNameLookup(new Map([[name, { ips: [ip], registry: 'External', shortname: '', namespace: '' }]]), {
  namespace: '',
  serviceDomain: '',
  searchDomain: '',
});
await startDnsServer({
  addresses: [address],
  port: Number(port),
  names: () => names,
  isAlwaysForwarded: () => false,
  upstream: createDnsUpstream({
    servers: upstream === undefined ? [] : [{ address: upstream, port: 53 }],
    timeoutMs: 1000,
    isParallel: false,
    soMark,
    random: () => 0,
  }),
  soMark,
  random: () => 0,
  log: silentLog,
});
