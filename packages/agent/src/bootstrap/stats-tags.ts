/**
 * How parts of a statistic's name become labels. The control plane ends the names that it gives to clusters, connection
 * managers and TCP proxies with a semicolon, since host names contain dots.
 *
 * The first group is cut out of the name, the second is the label's value.
 */
export const STATS_TAGS: readonly { readonly tag_name: string; readonly regex: string }[] = [
  { tag_name: 'cluster_name', regex: '^cluster\\.((.+?);\\.)' },
  { tag_name: 'http_conn_manager_prefix', regex: '^http\\.((.+?);\\.)' },
  { tag_name: 'tcp_prefix', regex: '^tcp\\.((.+?);\\.)' },
  {
    tag_name: 'listener_address',
    regex: '^listener\\.(([0-9a-fA-F_.:\\[\\]]+?)\\.)(?:downstream|http|no_filter|ssl|worker|connections)',
  },
  { tag_name: 'response_code', regex: '_rq(_([0-9]{3}))$' },
  { tag_name: 'response_code_class', regex: '_rq(_([0-9]xx))$' },
];
