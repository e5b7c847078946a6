/** Codes of this package's errors. */
export const GALLEY_ERROR_CODES = {
  /** A file of configuration cannot be read or parsed. */
  file: 'CONFIG_FILE_INVALID',
  /** A webhook was sent something that is no AdmissionReview. */
  review: 'ADMISSION_REVIEW_INVALID',
} as const;
