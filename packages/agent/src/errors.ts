/** The codes of this package's errors, with what each means to an operator. */
export const AGENT_ERRORS = {
  CA_UNAVAILABLE: 'The certificate authority cannot be reached; the agent tries again',
  CA_REFUSED: 'The certificate authority refused to sign: the token or the request is not accepted',
  CA_RESPONSE_INVALID: 'The certificate authority answered with something that is not a certificate chain for our key',
  CONTROL_PLANE_UNKNOWN: 'The name server has no address for the control plane; the agent tries again',
  ROOT_CERT_MISSING: 'The root certificate that the control plane is checked against is not mounted',
  SDS_SOCKET_DEAD: 'Nobody serves secrets on the socket that the pod names',
  TOKEN_MISSING: 'The service account token is not mounted',
  CAPTURE_INVALID: 'A traffic capture setting is malformed',
  CAPTURE_FAILED: 'The traffic capture rules could not be applied',
  DNS_PORT_TAKEN: 'Another process listens on the port for captured DNS queries',
  PROXY_EXITED: 'The proxy process ended by itself',
  STATUS_PORT_TAKEN: 'Another process listens on the status port; is there a second agent in the pod?',
  USAGE: 'A flag or environment variable cannot be read',
} as const;
