/** C0 and C1 controls and DEL, but not tab: what could move a cursor, recolour or retitle a terminal. */
const controls = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]+/g;

/** One line that is safe on a terminal: texts of the daemon may quote a guest. */
export const plainLine = (text: string): string => text.replaceAll(controls, ' ').trim();
