import type { UserInfo } from '../auth/user-info.ts';
import type { RequestInfo, ResourcePath } from '../http/request-info.ts';
import type { ResourceType } from '../kinds/resource-type.ts';

/** One request about a resource, with everything that handlers decide by. */
export interface RequestContext {
  readonly info: RequestInfo;
  readonly path: ResourcePath;
  readonly type: ResourceType;
  readonly user: UserInfo;
  /** Who changes fields: the query's `fieldManager`, else the first word of the client's name. */
  readonly fieldManager: string;
  readonly isDryRun: boolean;
  /** Told to the user with the answer. */
  readonly warnings: string[];
}
