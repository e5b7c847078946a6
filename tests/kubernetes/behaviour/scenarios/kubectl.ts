/** Round trips of real kubectl: what it prints and how it ends. */
import { findPeer } from '@meltemi/testing';
import { runCommand } from '../../../walkthrough/environment-harness.ts';
import type { Scenario } from '../scenario.ts';

const MANIFEST = (image: string): string => `
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, labels: { app: web } }
data: { mode: fair }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, labels: { app: web } }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: web, image: "${image}", ports: [{ containerPort: 80 }] }] }
---
apiVersion: v1
kind: Service
metadata: { name: web, labels: { app: web } }
spec: { selector: { app: web }, ports: [{ name: http, port: 80 }] }
`;

/** Each with what goes to its standard input. */
const COMMANDS: readonly (readonly [command: string, input?: string])[] = [
  ['apply -f -', MANIFEST('web:1')],
  ['apply -f -', MANIFEST('web:1')],
  ['apply -f -', MANIFEST('web:2')],
  ['diff -f -', MANIFEST('web:2')],
  ['apply -f - --dry-run=server', MANIFEST('web:3')],
  ['apply -f - --server-side --field-manager=me', MANIFEST('web:2')],
  ['get deploy,svc,cm -l app=web -o name'],
  ['get deploy web'],
  ['get deploy web -o wide'],
  ['get deploy web -o jsonpath={.spec.template.spec.containers[0].image}'],
  ['get svc web -o jsonpath={.spec.ports[0].targetPort}'],
  ['get cm settings -o jsonpath={.data}'],
  ['get pods'],
  ['get pods absent'],
  ['get nothings'],
  ['label cm settings tier=front'],
  ['label cm settings tier=back'],
  ['label cm settings tier=back --overwrite'],
  ['label cm settings tier-'],
  ['annotate cm settings note=x'],
  ['patch cm settings -p {"data":{"mode":"unfair"}}'],
  ['patch deploy web --type=json -p [{"op":"replace","path":"/spec/replicas","value":3}]'],
  ['patch deploy web --type=json -p [{"op":"test","path":"/spec/replicas","value":4}]'],
  ['set image deploy/web web=web:4'],
  ['set env deploy/web A=b'],
  ['scale deploy web --replicas=1'],
  ['rollout pause deploy/web'],
  ['rollout resume deploy/web'],
  ['rollout status deploy/web --watch=false'],
  ['create ns made-by-kubectl'],
  ['create secret generic hidden --from-literal=a=b'],
  ['create secret generic hidden --from-literal=a=b'],
  ['create configmap plain --from-literal=a=b'],
  ['create sa robot'],
  ['create role reader --verb=get,list --resource=pods'],
  ['create rolebinding reader --role=reader --serviceaccount=default:robot'],
  ['create service clusterip plain --tcp=80:8080'],
  ['create deployment made --image=web:1 --port=80'],
  ['expose deploy web --name=exposed --port=81'],
  ['run lone --image=web:1 --restart=Never'],
  ['auth can-i list pods'],
  ['auth can-i list pods --as=nobody'],
  ['auth whoami -o jsonpath={.status.userInfo.username}'],
  ['api-resources --api-group=apps -o name'],
  ['explain deployment.spec.replicas'],
  ['wait --for=jsonpath={.data.mode}=unfair cm/settings --timeout=5s'],
  ['wait --for=delete cm/absent --timeout=5s'],
  ['replace -f -', MANIFEST('web:5')],
  ['create -f -', 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: odd }\ndate: {}\n'],
  ['apply -f - --validate=warn', 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: odd }\ndate: {}\n'],
  ['delete -f - --wait=false', MANIFEST('web:5')],
  ['delete pod lone --now'],
  ['delete cm absent'],
  ['delete ns made-by-kubectl --wait=false'],
];

/** What differs from run to run: ages, generated names and addresses, places on this machine. */
function steady(text: string, namespace: string): string {
  return text
    .replaceAll(namespace, 'NS')
    .replace(/\b\d+m?s\b|\b\d+m\d+s\b/g, 'AGE')
    .replace(/\b10\.111\.\d+\.\d+\b/g, 'ADDRESS')
    .replace(/127\.0\.0\.1:\d+/g, 'SERVER')
    .replace(/"uid":"[^"]+"/g, '"uid":"UID"')
    .split('\n')
    .map((line) => line.trimEnd().replace(/ {2,}/g, '  '))
    .join('\n');
}

/** One scenario for each kubectl that is supported. */
export const KUBECTL_SCENARIOS: readonly Scenario[] = ['1.30.14', '1.36.3'].map((version) => ({
  name: `kubectl ${version}`,
  async run({ api, namespace, record }) {
    const program = findPeer('kubectl', version);
    if (program === undefined) throw new Error(`kubectl ${version} is missing; run "npm run peers"`);
    const env = { ...process.env, KUBECONFIG: api.adminKubeconfigPath, HOME: api.directory };
    for (const [index, [command, input = '']] of COMMANDS.entries()) {
      const { code, stdout, stderr } = await runCommand(program, ['-n', namespace, ...command.split(' ')], {
        env,
        input,
      });
      record(`${index + 1} ${command}`, [code, steady(stdout, namespace), steady(stderr, namespace)]);
    }
    await api.request('PUT', '/api/v1/namespaces/made-by-kubectl/finalize', {
      body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'made-by-kubectl' }, spec: { finalizers: [] } },
    });
  },
}));
