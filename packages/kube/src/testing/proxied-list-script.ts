/** Lists pods by the access in `ACCESS`, in a process with trust of its own (see `proxied-agent.test.ts`). */
import { createKubeClient } from '../client.ts';
import { PODS } from '../resources.ts';

await using client = createKubeClient({ access: JSON.parse(process.env['ACCESS'] ?? '') });
process.stdout.write(JSON.stringify((await client.list(PODS)).items));
