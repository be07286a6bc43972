/** The value of an environment setting; an empty one counts as not set. */
export function setting(name: string): string | undefined {
  const value = process.env[name];
  return value === '' ? undefined : value;
}
