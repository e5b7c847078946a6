export { type DialOptions, dialMarked } from './dial-marked.ts';
export { originalDestination, type SocketAddress } from './original-dst.ts';
