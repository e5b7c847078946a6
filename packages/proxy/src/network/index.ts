export { type DialOptions, dialMarked } from './dial-marked.ts';
export { markDatagramSocket } from './mark-datagram.ts';
export { originalDestination, type SocketAddress } from './original-dst.ts';
