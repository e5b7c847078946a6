/**
 * The mesh-wide settings that translation reads, in the API's own words and units; absent means the API's default.
 *
 * A structural subset of MeshConfig, so that the decoded object can be handed over as it is.
 */
export interface MeshSettings {
  readonly rootNamespace?: string | undefined;
  readonly trustDomain?: string | undefined;
  readonly trustDomainAliases?: readonly string[] | undefined;
  readonly accessLogFile?: string | undefined;
  readonly accessLogFormat?: string | undefined;
  readonly accessLogEncoding?: string | undefined;
  readonly connectTimeout?: string | undefined;
  readonly protocolDetectionTimeout?: string | undefined;
  readonly enableAutoMtls?: boolean | undefined;
  readonly h2UpgradePolicy?: string | undefined;
  readonly outboundTrafficPolicy?: { readonly mode?: string | undefined } | undefined;
  readonly inboundTrafficPolicy?: { readonly mode?: string | undefined } | undefined;
  readonly defaultServiceExportTo?: readonly string[] | undefined;
  readonly defaultVirtualServiceExportTo?: readonly string[] | undefined;
  readonly defaultDestinationRuleExportTo?: readonly string[] | undefined;
}
