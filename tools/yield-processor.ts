/** Imported before a test file that runs beside others: it and all that it starts take what processor time these leave. */
import { setPriority } from 'node:os';

const BEHIND_OTHERS = 10;
setPriority(BEHIND_OTHERS);
