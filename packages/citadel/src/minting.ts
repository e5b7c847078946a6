/** What makes certificates, without the servers around it: cheap to import for the command line and the local environment. */
export * from './mint-authority.ts';
export { buildCertificate, type CertificateTemplate, subjectKeyIdOf } from './x509/certificate-builder.ts';
export { type DistinguishedName, encodeDistinguishedName } from './x509/distinguished-name.ts';
export { type SubjectAltName, toSubjectAltName } from './x509/subject-alt-name.ts';
