import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { RunningEnvironment } from '@meltemi/local';
import { runningEnvironments } from './running-environments.ts';

/** What {@link nextCommands} is about. */
export interface NextCommandsOptions {
  readonly environment: RunningEnvironment;
  /** The environment's folder. */
  readonly directory: string;
  readonly isWalkthrough: boolean;
  readonly repositoryRoot: string;
}

/** What to try now that an environment is up: commands that work as printed, in the folder that `up` was started in. */
export function nextCommands({ environment, directory, isWalkthrough, repositoryRoot }: NextCommandsOptions): string {
  const isInClone = realpathSync('.') === realpathSync(repositoryRoot);
  const meltemi = isInClone ? './meltemi' : join(repositoryRoot, 'meltemi');
  const examples = isInClone ? 'examples' : join(repositoryRoot, 'examples');
  const files = `-f ${examples}/helloworld/virtualservice.yaml -f ${examples}/helloworld/destinationrule.yaml`;
  const isAlone = runningEnvironments().length <= 1;
  const first = isAlone ? [] : ['  # which of the environments that run is meant', `  export MELTEMI_DIR=${directory}`];
  const kubectl = ['', 'With kubectl 1.30 or newer:', '', `  export KUBECONFIG=${environment.kubeconfig}`];
  const lines = isWalkthrough
    ? [
        ...first,
        '  # both versions answer',
        `  ${meltemi} exec -n app1 deploy/sleep -- curl -s helloworld.app1:5000/hello`,
        '  # all requests to v2, over mutual TLS',
        `  ${meltemi} apply -n app1 ${files}`,
        '  # both again',
        `  ${meltemi} delete -n app1 ${files}`,
        '  # who is connected, and the pods of the other cluster',
        `  ${meltemi} proxy-status`,
        `  ${meltemi} get pods -n app1 -o wide --cluster cluster2`,
        ...kubectl,
        '  SLEEP_POD=$(kubectl get -n app1 pod -l app=sleep -o jsonpath={.items..metadata.name})',
        '  kubectl exec $SLEEP_POD -n app1 -c sleep -- curl -s helloworld.app1:5000/hello',
      ]
    : [
        ...first,
        `  ${meltemi} get pods -A`,
        ...kubectl,
        `  kubectl get pods -A --context ${environment.clusters[0]?.spec.name}`,
      ];
  return `${['Try, in a second terminal:', '', ...lines].join('\n')}\n`;
}
