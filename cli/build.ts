declare const __BANGER_BUILD_ID__: string | undefined;
declare const __BANGER_VERSION__: string | undefined;

/** Content hash of what was built; scripts/build.mjs puts it in. A daemon of another one is replaced. */
export const buildId = typeof __BANGER_BUILD_ID__ === 'string' ? __BANGER_BUILD_ID__ : 'not-built';

export const version = typeof __BANGER_VERSION__ === 'string' ? __BANGER_VERSION__ : '0.0.0';
