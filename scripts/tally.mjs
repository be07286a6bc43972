// What `npm test` prints: a line per stage with its time, the output of those that failed, a line per failure, and one sum.

export class Tally {
  #sum = { passed: 0, failed: 0, skipped: 0 };
  #failures = [];
  #print;

  constructor(print = (text) => process.stdout.write(text)) {
    this.#print = print;
  }

  /** Runs tests. `work` resolves with `{ passed, failed, skipped, output, failures }`; `failures` names those that failed. */
  async stage(name, work) {
    const startedAt = Date.now();
    const result = await work().catch((error) => ({ passed: 0, failed: 1, skipped: 0, output: error.message }));
    const { passed, failed, skipped, output, failures = [] } = result;
    this.#sum = {
      passed: this.#sum.passed + passed,
      failed: this.#sum.failed + failed,
      skipped: this.#sum.skipped + skipped,
    };
    this.#line(startedAt, `${name}: ${say(result)}`);
    if (failed === 0) return;
    this.#print(`\n${output}\n`);
    this.#failures.push(...(failures.length > 0 ? failures : [firstLine(output)]).map((each) => `${name}: ${each}`));
  }

  /** Gets something that tests need. Resolves with it, or with undefined when it cannot be had: one failure. */
  async need(name, work) {
    const startedAt = Date.now();
    try {
      const got = await work();
      this.#line(startedAt, name);
      return got;
    } catch (error) {
      this.#sum.failed += 1;
      this.#line(startedAt, `${name}: FAILED`);
      this.#print(`\n${error.message}\n`);
      this.#failures.push(`${name}: ${firstLine(error.message)}`);
      return undefined;
    }
  }

  note(text) {
    this.#print(`     –    ${text}\n`);
  }

  /** No failure, and not for want of tests. */
  isGood() {
    return this.#sum.failed === 0 && this.#sum.passed > 0;
  }

  /** A line per failure, for who reads the end of a log. */
  failures() {
    return failureLines(this.#failures);
  }

  line() {
    return say(this.#sum);
  }

  #line(startedAt, text) {
    this.#print(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
  }
}

/** `.ci/run` collects these lines. */
export function failureLines(failures) {
  return failures.map((each) => `failed: ${each}\n`).join('');
}

export function firstLine(text) {
  return text.trim().split('\n', 1)[0];
}

function say({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
