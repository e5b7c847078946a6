import type { MeshConfig } from '@meltemi/api';
import type { AccessLogSchema } from '@meltemi/xds/types/envoy/config/accesslog/v3/accesslog_pb.js';
import { FileAccessLogSchema } from '@meltemi/xds/types/envoy/extensions/access_loggers/file/v3/file_pb.js';
import { type Init, packAny } from '../protobuf-values.ts';

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
  return [{ name: 'envoy.access_loggers.file', configType: { case: 'typedConfig', value: buildFileLog(meshConfig) } }];
}

/** The log of connections that no filter chain matched: a listener's own. */
export function buildListenerAccessLogs(meshConfig: MeshConfig): AccessLogInit[] {
  if (meshConfig.disableEnvoyListenerLog) return [];
  return buildAccessLogs(meshConfig).map((log) => ({
    ...log,
    filter: { filterSpecifier: { case: 'responseFlagFilter', value: { flags: ['NR'] } } },
  }));
}

function buildFileLog({ accessLogFile, accessLogFormat, accessLogEncoding }: MeshConfig) {
  const isJson = accessLogEncoding === 'JSON';
  return packAny(FileAccessLogSchema, {
    path: accessLogFile,
    accessLogFormat: {
      case: 'logFormat',
      value: {
        format: isJson
          ? { case: 'jsonFormat', value: jsonFields(accessLogFormat) }
          : {
              case: 'textFormatSource',
              value: { specifier: { case: 'inlineString', value: textLine(accessLogFormat) } },
            },
      },
    },
  });
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
