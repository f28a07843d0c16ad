/** A guest may send any number of lines, of any length. */
const notesMax = 50;
const noteMax = 600;

/** Passes on as many notes as a person would read. */
export const boundedNotes = (tell: (text: string) => void): ((text: string) => void) => {
  let told = 0;
  return (text) => {
    told += 1;
    if (told <= notesMax) tell(text.slice(0, noteMax));
    else if (told === notesMax + 1) tell('… and more of that kind');
  };
};
