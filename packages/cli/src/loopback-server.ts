/** Whether the URL of an API server leads to this machine only, whoever calls it. */
export function isLoopbackServer(server: string): boolean {
  const hostname = URL.parse(server)?.hostname ?? '';
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
}
