/** Writes the Helm charts of `charts/` from their definitions in `packages/control-plane/src/manifests`. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CHARTS } from '../packages/control-plane/src/manifests/charts/charts.ts';
import { chartFiles } from '../packages/control-plane/src/manifests/template/chart-files.ts';

const folder = join(import.meta.dirname, '../charts');
for (const chart of CHARTS) {
  rmSync(join(folder, chart.name), { recursive: true, force: true });
  for (const [path, text] of chartFiles(chart)) {
    const file = join(folder, chart.name, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}
