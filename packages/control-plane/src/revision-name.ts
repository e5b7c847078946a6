/** What an object of the default revision is called `stem`, that of another revision is called. */
export function ofRevision(stem: string, revision: string): string {
  return revision === '' || revision === 'default' ? stem : `${stem}-${revision}`;
}
