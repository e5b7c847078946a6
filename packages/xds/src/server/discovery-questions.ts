import type { status } from '@grpc/grpc-js';
import type { Result } from '@meltemi/base';
import type { EncodedResource } from '../encoded-resource.ts';
import type { CallerIdentity } from './authentication.ts';

/** A question that came as a discovery request. */
export interface DiscoveryQuestion {
  readonly typeUrl: string;
  readonly names: readonly string[];
  /** Who asks; `undefined` when the server does not ask who callers are. */
  readonly identity: CallerIdentity | undefined;
  /** Aborted when the stream ends. */
  readonly signal: AbortSignal;
}

/** Why a question is not answered; ends the stream. */
export interface DiscoveryRefusal {
  readonly code: status;
  readonly details: string;
}

/** Answers types of resources that are asked about once, and not kept up to date: what tools ask a control plane. */
export interface DiscoveryQuestions {
  handles(typeUrl: string): boolean;
  answer(question: DiscoveryQuestion): Promise<Result<EncodedResource, DiscoveryRefusal>>;
}
