/** Does a teacher help, in which way, and which kind of teacher? The paper's tables 2 and 3. */
import { heads, row, type Table } from "./experiment.ts";
import { DISTILLATION as PAPER } from "./paper.ts";
import { words, type Scale } from "./scales.ts";
import { student } from "./students.ts";

export function distillation(scale: Scale): Table {
  const at = scale.distillation;
  const none = row("no distillation", student(scale, "none", at), { paper: PAPER.none, mirrored: true });
  const equalCnn = student(scale, "token", at, "equal-cnn");
  const equalDeit = student(scale, "token", at, "equal-deit");
  const curves = [none, row("soft", student(scale, "soft", at)), row("hard", student(scale, "hard", at))];
  return {
    name: "distillation",
    title: "Distillation (the paper's tables 2 and 3)",
    about: [
      `${words(at)}, crop and flip only, so that what is compared is the teacher.`,
      "The teachers of equal accuracy are the pair of the table of teachers whose accuracies on all test pictures are nearest, at most one point apart; the stronger DeiT is the best one there is.",
    ],
    groups: [
      {
        title: "The given CNN as teacher",
        rows: [
          none,
          row("soft (the paper's tau 3, weight 0.1), one token", student(scale, "soft-paper", at), { paper: PAPER.soft }),
          row("soft (tau 2, weight 0.9), one token", student(scale, "soft", at)),
          row("hard, one token", student(scale, "hard", at), { paper: PAPER.hard }),
          ...heads("hard, token", student(scale, "token", at), [PAPER.tokenCls, PAPER.tokenDist, PAPER.tokenBoth], { mirrored: true }),
        ],
      },
      {
        title: "A CNN and a DeiT of equal accuracy as teachers",
        rows: [
          none,
          ...heads("from the CNN", equalCnn, [undefined, undefined, PAPER.fromCnn]),
          ...heads("from the DeiT", equalDeit, [undefined, undefined, PAPER.fromDeit]),
          ...heads("from the stronger DeiT", student(scale, "token", at, "best-deit")),
        ],
      },
    ],
    curves: [
      { title: "Test accuracy by epoch, one token", of: "test", rows: curves },
      { title: "Accuracy on the training pictures as shown, by epoch", of: "train", rows: curves },
    ],
  };
}
