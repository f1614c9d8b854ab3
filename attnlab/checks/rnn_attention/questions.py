"""Questions of lesson 01: recall from lesson 00, predictions, quiz."""

from attnlab.checks.questions import Choice, Question

RECALL = (
    Question(
        "rnn_attention.recall.1",
        "What makes a weighted average attention?",
        {
            "a": Choice("Its weights sum to one.", "A plain mean has such weights too, and attends to nothing."),
            "b": Choice("Its weights are computed from the data at hand.", "Other data, other weights.", right=True),
            "c": Choice("Its weights were learnt.", "In lesson 00 nothing was learnt, and it was attention."),
        },
    ),
    Question(
        "rnn_attention.recall.2",
        "One score of a row grows by 2, all others stay. What does the softmax do to the others' weights?",
        {
            "a": Choice("It leaves them as they are.", "The row sums to one: what one wins, the others lose."),
            "b": Choice(
                "It shrinks them all by the same factor.",
                "Their exponentials stay, and the sum they are divided by grows.",
                right=True,
            ),
            "c": Choice("It sets them to zero.", "Only an infinite difference would. exp(-2) is still about 0.14."),
        },
    ),
    Question(
        "rnn_attention.recall.3",
        "Weights of shape (queries 5, keys 7) and values of shape (keys 7, features 3): what is weights @ values?",
        {
            "a": Choice("(5, 3): one average for each query.", "The keys are summed over.", right=True),
            "b": Choice("(7, 3): one value for each key.", "The keys go: each query averages over them."),
            "c": Choice("(5, 7, 3): every weight with its value.", "The product also adds up over the keys."),
        },
    ),
)

PREDICTIONS = (
    Question(
        "gradient_length",
        "A plain RNN with 64 units reads a sequence. How does the gradient from the last state to the first input "
        "change when the sequence gets five times as long, 100 steps in place of 20?",
        {
            "a": Choice("It becomes five times smaller.", "So it would, if each step took the same amount away."),
            "b": Choice(
                "It becomes smaller by many orders of magnitude.",
                "Each step multiplies with a factor below one: a fixed factor for each step, not a fixed amount.",
                right=True,
            ),
            "c": Choice(
                "It stays about the same.", "It would, if each step kept the state as it was. tanh and W do not."
            ),
        },
    ),
    Question(
        "marked",
        "One token in a sequence carries a mark, and the answer is that token's sign. A plain RNN reads 80 tokens, and "
        "we train three read-outs for the same few steps. Which one learns it?",
        {
            "a": Choice(
                "the last state",
                "The mark stands 40 steps back on average, and so few steps of training do not bring it there.",
            ),
            "b": Choice(
                "the mean of all states",
                "It is one step from every state too, but the one that matters is one of eighty, and drowns.",
            ),
            "c": Choice(
                "attention over all states",
                "Each state is one step away, and the weights can put all on the one with the mark.",
                right=True,
            ),
            "d": Choice("all three", "They have the same states, but not the same way back to them."),
        },
    ),
    Question(
        "uniform",
        "Bahdanau starts v_a at zero. What does the decoder look at before the first training step?",
        {
            "a": Choice("at all real places alike", "All scores are zero, so all weights are 1 / length.", right=True),
            "b": Choice("at the first place", "Nothing prefers it: the scores are all zero."),
            "c": Choice("at random places", "W_a and U_a are random, but v_a multiplies them with zero."),
        },
    ),
    Question(
        "dates",
        "The network reads “monday, july 20, 2026” and writes “2026-07-20”. Where will it look while it writes the first four digits?",
        {
            "a": Choice(
                "at the beginning of the source", "There stands the day of the week, of which the answer has no use."
            ),
            "b": Choice(
                "at the year, at the end of the source",
                "It was never told; it finds the year because it needs it.",
                right=True,
            ),
            "c": Choice("everywhere alike", "So it did before training."),
        },
    ),
    Question(
        "no_attention",
        "The same network, trained for the same steps on dates without attention: the decoder has the encoder's last "
        "states only. How many dates does it get right in full?",
        {
            "a": Choice("nearly as many", "It will not be that close: ten symbols have to come out of one vector."),
            "b": Choice("about half as many", "A plain RNN does not come that far in so few steps."),
            "c": Choice(
                "very few",
                "Attention buys the early steps. What more training and gates do, you can try below.",
                right=True,
            ),
        },
    ),
)

QUIZ = (
    Question(
        "rnn_attention.quiz.1",
        "Why does the gradient to the first token die in a plain RNN?",
        {
            "a": Choice("The first token is overwritten on purpose.", "Nothing in the formula aims at that."),
            "b": Choice(
                "It is a product of one factor a step, and the factors shrink it on average.",
                "diag(1 - h²) is at most 1, and it meets W at every step.",
                right=True,
            ),
            "c": Choice("The learning rate is too small.", "The gradient is the same at any learning rate."),
            "d": Choice("tanh is not differentiable.", "It is; its slope is 1 - h²."),
        },
    ),
    Question(
        "rnn_attention.quiz.2",
        "Why does attention not suffer from that?",
        {
            "a": Choice("It has no weights that could shrink anything.", "It has weights, and they can be small."),
            "b": Choice(
                "From each state to the context there is one step, whatever its age.",
                "The gradient is multiplied with one weight, not with a hundred matrices.",
                right=True,
            ),
            "c": Choice("It reads the sequence twice.", "It reads the states once, all at the same time."),
            "d": Choice("It replaces tanh by softmax.", "The recurrence is still there, tanh and all."),
        },
    ),
    Question(
        "rnn_attention.quiz.3",
        "What is the query in Bahdanau's decoder, and what in Luong's?",
        {
            "a": Choice(
                "the state before the step; the state after it", "So Bahdanau's context can enter the step.", right=True
            ),
            "b": Choice("the state after the step; the state before it", "The other way round."),
            "c": Choice("the encoder's last state, in both", "That stands still. The query changes with every step."),
            "d": Choice("the source token, in both", "The source gives the keys."),
        },
    ),
    Question(
        "rnn_attention.quiz.4",
        "Additive scores without the tanh: what goes wrong?",
        {
            "a": Choice("The scores overflow.", "They grow, but not beyond what float32 holds."),
            "b": Choice(
                "The query's part is the same for all keys, and the softmax cancels it.",
                "All steps of the decoder then look at the same places.",
                right=True,
            ),
            "c": Choice("The gradient is cut.", "A linear map has a gradient."),
            "d": Choice("Nothing; tanh only speeds it up.", "Without it query and key never meet."),
        },
    ),
    Question(
        "rnn_attention.quiz.5",
        "Your attention sets the filler's memory to zero and takes the softmax over everything. Is the padding out of the way?",
        {
            "a": Choice(
                "Yes: zeros add nothing to the context.", "They add nothing, but they take weight from the words."
            ),
            "b": Choice(
                "No: each filler has a score of 0 and takes its share.",
                "exp(0) is 1. The context shrinks as the batch is padded further.",
                right=True,
            ),
            "c": Choice(
                "Yes, if the sentences are sorted by length.", "Sorting makes less filler, not harmless filler."
            ),
            "d": Choice(
                "No: the gradient becomes NaN.", "Nothing is infinite here; the result is wrong and looks fine."
            ),
        },
    ),
    Question(
        "rnn_attention.quiz.6",
        "An alignment picture shows the digit of the month looking at the letters of “july”. What does that prove?",
        {
            "a": Choice(
                "That these letters made the network write 7.",
                "To know, one would have to change the letters and look.",
            ),
            "b": Choice(
                "That most of the weight lay there; little more.",
                "A state of a bidirectional RNN also knows its neighbours. The picture is a lead, not a proof.",
                right=True,
            ),
            "c": Choice("That the network understands months.", "It shows where weights are."),
            "d": Choice(
                "Nothing at all.", "It does say where the weight was, and that can be checked by changing the source."
            ),
        },
    ),
)
