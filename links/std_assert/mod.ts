/** Stand-in for `jsr:@std/assert`: delegates to `node:assert/strict`, published signatures of what we use. */
import strict from "node:assert/strict";

/** A failed assertion. */
export const AssertionError: typeof strict.AssertionError = strict.AssertionError;

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

function text(msg: string | undefined, fallback: string): string {
  return msg === undefined ? fallback : `${fallback}: ${msg}`;
}

/** Asserts that `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  strict.ok(expr, msg);
}

/** Asserts deep equality (strict). */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    strict.deepStrictEqual(actual, expected);
  } catch (cause) {
    throw msg === undefined ? cause : new Error(`${msg}\n${(cause as Error).message}`);
  }
}

/** Asserts that two values are not deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  strict.notDeepStrictEqual(actual, expected, msg);
}

/** Asserts identity (`Object.is`). */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  strict.strictEqual(actual, expected, msg);
}

/** Asserts that a value is neither null nor undefined. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  strict.ok(actual !== undefined && actual !== null, text(msg, `expected a value, got ${String(actual)}`));
}

/** Asserts that `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  strict.ok(
    actual.includes(expected),
    text(msg, `expected ${JSON.stringify(actual)} to contain ${JSON.stringify(expected)}`),
  );
}

/** Asserts that `actual` matches the expression. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  strict.ok(expected.test(actual), text(msg, `expected ${JSON.stringify(actual)} to match ${expected}`));
}

/** Asserts `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  strict.ok(actual > expected, text(msg, `expected ${String(actual)} > ${String(expected)}`));
}

/** Asserts `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  strict.ok(actual < expected, text(msg, `expected ${String(actual)} < ${String(expected)}`));
}

/** Asserts that `error` is an instance of the class and its message holds the text. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: ErrorClass<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E {
  strict.ok(error instanceof Error, text(msg, `expected an Error, got ${String(error)}`));
  if (ErrorClass) {
    strict.ok(
      error instanceof ErrorClass,
      text(msg, `expected ${ErrorClass.name}, got ${error.constructor.name}: ${error.message}`),
    );
  }
  if (typeof msgMatches === "string") assertStringIncludes(error.message, msgMatches, msg);
  else if (msgMatches) assertMatch(error.message, msgMatches, msg);
}

/** Asserts that `fn` throws; returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass?: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E {
  let thrown: unknown;
  let threw = false;
  try {
    fn();
  } catch (error) {
    thrown = error;
    threw = true;
  }
  strict.ok(threw, text(msg, "expected the function to throw"));
  assertIsError(thrown, ErrorClass, msgIncludes, msg);
  return thrown as E;
}

/** Asserts that the promise of `fn` is rejected; resolves to the error. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass?: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E> {
  let thrown: unknown;
  let threw = false;
  try {
    await fn();
  } catch (error) {
    thrown = error;
    threw = true;
  }
  strict.ok(threw, text(msg, "expected the function to reject"));
  assertIsError(thrown, ErrorClass, msgIncludes, msg);
  return thrown as E;
}

/** Fails the test. */
export function fail(msg?: string): never {
  strict.fail(text(msg, "failed"));
}
