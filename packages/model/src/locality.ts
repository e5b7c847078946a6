/** Where a workload runs. Empty strings are unknown. */
export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

/** A workload of which nothing is known. */
export const UNKNOWN_LOCALITY: Locality = { region: '', zone: '', subzone: '' };

/** Reads `region/zone/subzone`; missing parts are empty. */
export function parseLocality(text: string): Locality {
  const [region = '', zone = '', subzone = ''] = text.split('/');
  return { region, zone, subzone };
}

/** Writes `region/zone/subzone` without trailing empty parts; the empty string for an unknown locality. */
export function formatLocality(locality: Locality): string {
  return `${locality.region}/${locality.zone}/${locality.subzone}`.replace(/\/+$/, '');
}
