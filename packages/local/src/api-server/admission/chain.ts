import type { Admission } from './admission.ts';

/** Several admissions as one, asked in order. */
export function chainAdmission(parts: readonly Admission[]): Admission {
  return {
    async mutate(request) {
      let { object } = request;
      for (const part of parts) object = await part.mutate({ ...request, object });
      return object;
    },
    async validate(request) {
      for (const part of parts) await part.validate(request);
    },
    allot(request) {
      for (const part of parts) part.allot(request);
    },
  };
}
