import { socketText } from '../decide/ip.ts';
import { type AdminCommand, jsonResponse, textResponse } from './admin-context.ts';

/** `/listeners`: names and addresses, those without a socket included. */
export const listenersCommand: AdminCommand = {
  path: '/listeners',
  isMutation: false,
  help: 'print listener info; ?format=json',
  run({ configuration }, query) {
    const listeners = [...configuration.listeners.active.values()].map(({ compiled }) => compiled.runtime);
    if (query.get('format') === 'json') {
      const statuses = listeners.map(({ name, address, port }) => ({
        name,
        local_address: { socket_address: { address, port_value: port } },
      }));
      return jsonResponse(statuses.length === 0 ? {} : { listener_statuses: statuses });
    }
    return textResponse(listeners.map(({ name, address, port }) => `${name}::${socketText(address, port)}\n`).join(''));
  },
};
