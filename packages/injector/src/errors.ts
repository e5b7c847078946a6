/** The codes of this package's errors, with what each means to an operator. */
export const INJECTOR_ERRORS = {
  INJECTION_ANNOTATION_INVALID: 'An annotation of the pod has a value that injection cannot follow; the pod is refused',
  INJECTION_CONFLICT: 'The pod has a container or volume of a name that injection needs; the pod is refused',
  INJECTOR_VALUES_INVALID:
    'The injector configuration (ConfigMap istio-sidecar-injector) cannot be read; the last good one stays in force',
  ADMISSION_REVIEW_INVALID: 'The API server sent something that is not an AdmissionReview of a pod',
} as const;
