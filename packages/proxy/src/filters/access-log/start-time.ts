function pad(value: number, width: number): string {
  return String(value).padStart(width, '0');
}

/**
 * Formats a time of day in UTC.
 *
 * @param format strftime with Envoy's `%3f`, `%6f`, `%9f` for fractions and `%s` for Unix seconds; undefined: ISO 8601 with
 * milliseconds.
 */
export function formatStartTime(unixMs: number, format: string | undefined): string {
  const time = new Date(unixMs);
  if (format === undefined || format === '') return time.toISOString();
  return format.replaceAll(/%(\d?)([a-zA-Z%])/g, (whole, digits: string, letter: string) => {
    switch (letter) {
      case 'Y':
        return String(time.getUTCFullYear());
      case 'm':
        return pad(time.getUTCMonth() + 1, 2);
      case 'd':
        return pad(time.getUTCDate(), 2);
      case 'H':
        return pad(time.getUTCHours(), 2);
      case 'M':
        return pad(time.getUTCMinutes(), 2);
      case 'S':
        return pad(time.getUTCSeconds(), 2);
      case 'F':
        return time.toISOString().slice(0, 10);
      case 'T':
        return time.toISOString().slice(11, 19);
      case 'f':
        return pad(time.getUTCMilliseconds(), 3)
          .padEnd(digits === '' ? 9 : Number(digits), '0')
          .slice(0, digits === '' ? 9 : Number(digits));
      case 's':
        return String(Math.floor(unixMs / 1000));
      case 'z':
        return '+0000';
      case 'Z':
        return 'UTC';
      case '%':
        return '%';
      default:
        return whole;
    }
  });
}
