"""The questions of lesson 00: recall, predictions, quiz."""

from attnlab.checks.questions import Choice, Question

RECALL = (
    Question(
        "00_recall_sum",
        "A tensor has the shape (queries 5, keys 7). What is the shape of tensor.sum(dim=-1)?",
        {
            "a": Choice("(5,)", "dim=-1 is the last axis, the keys. It is the one that goes.", right=True),
            "b": Choice("(7,)", "dim names the axis that goes, not the one that stays. -1 is the last, the keys."),
            "c": Choice("(5, 1)", "That is what you get with keepdim=True. Without it the axis is gone."),
        },
    ),
    Question(
        "00_recall_broadcasting",
        "a has the shape (5, 7), b has (5,). What does a / b give?",
        {
            "a": Choice(
                "Row i of a divided by b[i].",
                "Broadcasting lines shapes up from the right: b's 5 meets a's 7. For this b has to be (5, 1).",
            ),
            "b": Choice(
                "An error.",
                "Shapes are lined up from the right: 5 meets 7, and neither is 1. With b as (5, 1) it works.",
                right=True,
            ),
            "c": Choice(
                "Column i of a divided by b[i].",
                "It would, if b had 7 numbers. Shapes are lined up from the right: here 5 meets 7.",
            ),
        },
    ),
    Question(
        "00_recall_product",
        "w has one row, [0.5, 0.5, 0]. V has three rows. What is w @ V?",
        {
            "a": Choice(
                "The mean of the first two rows of V.",
                "A row times a matrix adds up the matrix's rows, each times its number. Attention is this line.",
                right=True,
            ),
            "b": Choice(
                "The mean of the first two columns of V.",
                "Columns are mixed when the numbers stand on the right of the matrix, V @ w.",
            ),
            "c": Choice(
                "V with its rows multiplied by 0.5, 0.5 and 0.",
                "That is half of it. The product also adds the rows up, so one row is left.",
            ),
        },
    ),
)

PREDICTIONS = (
    Question(
        "busiest_frame",
        "At which time does most of the picture move?",
        {
            "a": Choice(
                "In the first second, when he looks out of the burrow.",
                "There he is still small in the picture, and much of him is hidden.",
            ),
            "b": Choice(
                "Between 1 and 2 seconds, when he rises and stretches.",
                "All of his body moves, and it is close to us.",
                right=True,
            ),
            "c": Choice(
                "In the last second, when he lowers his arm.",
                "One arm and the head move; the large body stays where it is.",
            ),
        },
    ),
    Question(
        "cold_softmax",
        "The scores are 1, 2 and 3. What are their weights at temperature 0.01?",
        {
            "a": Choice("All three alike.", "That is the hot end. Dividing by 0.01 makes differences larger."),
            "b": Choice(
                "Nearly all on the score 3.",
                "The scores become 100, 200 and 300. The one that was ahead is now ahead by 100, and "
                "exp(-100) is nothing.",
                right=True,
            ),
            "c": Choice(
                "NaN, since exp(300) is too large.",
                "It would be so for the naive softmax. Yours subtracts the largest score first.",
            ),
        },
    ),
    Question(
        "shuffled_control",
        "We shuffle the frames and draw the map of motion again. What will it show?",
        {
            "a": Choice(
                "Noise, because nothing moves in order any more.",
                "Two frames need not be neighbours to differ: he stands elsewhere in each, so the "
                "difference is again him.",
            ),
            "b": Choice(
                "The rabbit again.",
                "The score compares two pictures, and never asks which came first. The map cannot be "
                "evidence of an order "
                "that its score does not use.",
                right=True,
            ),
            "c": Choice(
                "The background instead of the rabbit.",
                "Hill and stones look much the same in all frames, in whatever order.",
            ),
        },
    ),
    Question(
        "narrow_bandwidth",
        "The keys are 0.32 s apart. What does the curve look like when the bandwidth is 0.02 s?",
        {
            "a": Choice(
                "A flat line at the mean.",
                "That is the other end: with a wide bandwidth all keys weigh alike.",
            ),
            "b": Choice(
                "Stairs: each query copies the nearest key.",
                "Far away in bandwidths, yet nearest: after the softmax the nearest key has nearly all the weight.",
                right=True,
            ),
            "c": Choice(
                "Zero between the keys, because they are too far off.",
                "The Gaussians are nearly zero there, all of them. But they are divided by their sum, and "
                "one of them wins.",
            ),
        },
    ),
    Question(
        "digits_accuracy",
        "No training, 600 labelled digits as keys. How many digits by other hands are recognised?",
        {
            "a": Choice(
                "About 10 %, as by chance.",
                "The labels of the keys are known, and near pictures tend to show the same digit.",
            ),
            "b": Choice("About 60 %.", "Digits are more alike within a class than one might think."),
            "c": Choice(
                "More than 90 %.",
                "The distance between pictures is a good score for this task, and it was not learnt.",
                right=True,
            ),
        },
    ),
    Question(
        "sees_itself",
        "Each of the 600 digits is predicted from all 600, itself included. Which bandwidth looks best?",
        {
            "a": Choice(
                "The narrowest; none beats it.",
                "Each digit is nearest to itself and copies its own label: 100 %, as long as the bandwidth is narrow enough.",
                right=True,
            ),
            "b": Choice(
                "One in the middle, as with honest testing.",
                "Honest testing punishes a bandwidth that only copies. Here copying is rewarded.",
            ),
            "c": Choice(
                "The widest.",
                "A wide bandwidth gives everybody the mean of all labels, which recognises little.",
            ),
        },
    ),
)

QUIZ = (
    Question(
        "00_quiz_what",
        "What makes a weighted average attention?",
        {
            "a": Choice(
                "Its weights are learnt in training.",
                "They often are, or rather the scores are. But today's were not learnt at all.",
            ),
            "b": Choice(
                "Its weights are computed from the data at hand.",
                "Another clip, other weights. A fixed average has the same weights for all.",
                right=True,
            ),
            "c": Choice(
                "Its weights are positive and sum to one.",
                "So are those of a plain mean. And some kinds of attention in this course have weights that do not.",
            ),
        },
    ),
    Question(
        "00_quiz_constant",
        "You add 7 to all scores of a row. What happens to its weights?",
        {
            "a": Choice("They grow.", "They sum to one before and after, so they cannot all grow."),
            "b": Choice(
                "Nothing.",
                "exp(s + 7) is exp(7) times exp(s), and exp(7) cancels. That is why the maximum may be subtracted.",
                right=True,
            ),
            "c": Choice(
                "They become more alike.",
                "A temperature does that: it shrinks differences. A constant leaves differences as they are.",
            ),
        },
    ),
    Question(
        "00_quiz_temperature",
        "A query looks at one key only. You want it to look at several. What do you do?",
        {
            "a": Choice(
                "Raise the temperature.",
                "Scores divided by a larger number lie closer together, and so do the weights.",
                right=True,
            ),
            "b": Choice("Lower the temperature.", "That makes differences larger: the winner takes even more."),
            "c": Choice(
                "Multiply the scores by a large number.",
                "That is a low temperature under another name.",
            ),
        },
    ),
    Question(
        "00_quiz_bandwidth",
        "Nadaraya-Watson's bandwidth plays the part of which number?",
        {
            "a": Choice(
                "Its square plays the part of the temperature.",
                "The scores are -distance²/2, divided by bandwidth²: wide is hot, narrow is cold.",
                right=True,
            ),
            "b": Choice(
                "One over the temperature.",
                "Then a wide bandwidth would be cold. But wide means that all keys weigh alike, and that is hot.",
            ),
            "c": Choice(
                "The number of keys.",
                "It decides how many keys count, but smoothly, through the scores. No key is left out.",
            ),
        },
    ),
    Question(
        "00_quiz_map",
        "A heat map over a picture lights up on the rabbit. What does it prove?",
        {
            "a": Choice(
                "That the model has understood what a rabbit is.",
                "A difference of two frames lights up there as well, and understands nothing.",
            ),
            "b": Choice(
                "That the rabbit decided the model's answer.",
                "Perhaps. To know it one must change that part of the picture and see whether the answer moves.",
            ),
            "c": Choice(
                "Where the weights are large, and no more, until it is held against a control.",
                "Shuffled input, random scores, or the part cut out: the map counts by how it differs from those.",
                right=True,
            ),
        },
    ),
    Question(
        "00_quiz_leave_one_out",
        "Why must a point not see itself when a bandwidth is judged?",
        {
            "a": Choice(
                "Its score would be infinite.",
                "Its score would be 0, the highest that a negative distance can be. That is finite, and the trouble.",
            ),
            "b": Choice(
                "It would copy its own label, and no bandwidth could beat the narrowest.",
                "The same error has many names: testing on training data, leakage.",
                right=True,
            ),
            "c": Choice(
                "The weights would not sum to one.",
                "They would. The softmax sees to it in both cases.",
            ),
        },
    ),
)
