import type { MeshConfig } from '@meltemi/api';
import type { AccessLogSchema } from '@meltemi/xds/types/envoy/config/accesslog/v3/accesslog_pb.js';
import { FileAccessLogSchema } from '@meltemi/xds/types/envoy/extensions/access_loggers/file/v3/file_pb.js';
import {
  StderrAccessLogSchema,
  StdoutAccessLogSchema,
} from '@meltemi/xds/types/envoy/extensions/access_loggers/stream/v3/stream_pb.js';
import { type Init, namedExtension } from '../protobuf-values.ts';

type AccessLogInit = Init<typeof AccessLogSchema>;

/** The line that Istio's users know, and their parsers expect. */
const DEFAULT_FORMAT = `${[
  '[%START_TIME%]',
  '"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%"',
  '%RESPONSE_CODE%',
  '%RESPONSE_FLAGS%',
  '%RESPONSE_CODE_DETAILS%',
  '%CONNECTION_TERMINATION_DETAILS%',
  '"%UPSTREAM_TRANSPORT_FAILURE_REASON%"',
  '%BYTES_RECEIVED%',
  '%BYTES_SENT%',
  '%DURATION%',
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  '"%REQ(X-FORWARDED-FOR)%"',
  '"%REQ(USER-AGENT)%"',
  '"%REQ(X-REQUEST-ID)%"',
  '"%REQ(:AUTHORITY)%"',
  '"%UPSTREAM_HOST%"',
  '%UPSTREAM_CLUSTER_RAW%',
  '%UPSTREAM_LOCAL_ADDRESS%',
  '%DOWNSTREAM_LOCAL_ADDRESS%',
  '%DOWNSTREAM_REMOTE_ADDRESS%',
  '%REQUESTED_SERVER_NAME%',
  '%ROUTE_NAME%',
].join(' ')}\n`;

/** The fields of the JSON form, by name. */
const JSON_FIELDS: Readonly<Record<string, string>> = {
  start_time: '%START_TIME%',
  route_name: '%ROUTE_NAME%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  response_code: '%RESPONSE_CODE%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
  user_agent: '%REQ(USER-AGENT)%',
  request_id: '%REQ(X-REQUEST-ID)%',
  authority: '%REQ(:AUTHORITY)%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
  upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
};

/** The access logs that mesh settings ask for; none without `accessLogFile`. */
export function buildAccessLogs(meshConfig: MeshConfig): AccessLogInit[] {
  if (meshConfig.accessLogFile === '') return [];
  return [accessLog(buildLogger(meshConfig))];
}

/** The log of connections that no filter chain matched: a listener's own. */
export function buildListenerAccessLogs(meshConfig: MeshConfig): AccessLogInit[] {
  if (meshConfig.disableEnvoyListenerLog) return [];
  return buildAccessLogs(meshConfig).map((log) => ({
    ...log,
    filter: { filterSpecifier: { case: 'responseFlagFilter', value: { flags: ['NR'] } } },
  }));
}

/**
 * A logger for the path. The standard streams have loggers of their own: where the stream is a socket, as under many
 * supervisors, `/dev/stdout` cannot be opened.
 */
function buildLogger(meshConfig: MeshConfig): ReturnType<typeof namedExtension> {
  const accessLogFormat = { case: 'logFormat' as const, value: { format: buildFormat(meshConfig) } };
  switch (meshConfig.accessLogFile) {
    case '/dev/stdout':
      return namedExtension('envoy.access_loggers.stdout', StdoutAccessLogSchema, { accessLogFormat });
    case '/dev/stderr':
      return namedExtension('envoy.access_loggers.stderr', StderrAccessLogSchema, { accessLogFormat });
    default:
      return namedExtension('envoy.access_loggers.file', FileAccessLogSchema, {
        path: meshConfig.accessLogFile,
        accessLogFormat,
      });
  }
}

function accessLog({ name, typedConfig }: ReturnType<typeof namedExtension>): AccessLogInit {
  return { name, configType: { case: 'typedConfig', value: typedConfig } };
}

function buildFormat({ accessLogFormat, accessLogEncoding }: MeshConfig) {
  if (accessLogEncoding === 'JSON') return { case: 'jsonFormat' as const, value: jsonFields(accessLogFormat) };
  const specifier = { case: 'inlineString' as const, value: textLine(accessLogFormat) };
  return { case: 'textFormatSource' as const, value: { specifier } };
}

function textLine(format: string): string {
  return format === '' ? DEFAULT_FORMAT : format;
}

function jsonFields(format: string): Record<string, string> {
  if (format === '') return { ...JSON_FIELDS };
  try {
    const fields: unknown = JSON.parse(format);
    if (fields !== null && typeof fields === 'object' && !Array.isArray(fields))
      return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value)]));
  } catch {
    // Not JSON: validation has said so, and a log in the usual form is better than none.
  }
  return { ...JSON_FIELDS };
}
