/**
 * Returns the one token in the lines of `Authorization`. A line may join several credentials with commas;
 * those of other schemes are skipped.
 */
export declare const bearerToken: (lines: string[]) => string;
/** Returns the lines of `Authorization` in the raw headers of Node: the parsed headers keep only the first. */
export declare const authorizationLines: (rawHeaders: string[]) => string[];
