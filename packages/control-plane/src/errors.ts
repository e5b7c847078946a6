/** Codes of this package's errors. */
export const CONTROL_PLANE_ERROR_CODES = {
  /** A port cannot be listened on. */
  listen: 'LISTEN_FAILED',
  /** A setting has a value that cannot be used. */
  option: 'OPTION_INVALID',
} as const;
