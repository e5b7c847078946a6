import type { Chart } from '../template/chart.ts';
import { BASE_CHART } from './base-chart.ts';
import { CONTROL_PLANE_CHART } from './control-plane-chart.ts';
import { GATEWAY_CHART } from './gateway-chart.ts';
import { REMOTE_CHART } from './remote-chart.ts';

/** Every chart, in the order in which they are installed. */
export const CHARTS: readonly Chart[] = [BASE_CHART, CONTROL_PLANE_CHART, REMOTE_CHART, GATEWAY_CHART];
