"""Exercise: one unit of attention, shared out among the moments of a clip."""

from functools import partial

import torch
import torch.nn.functional as F

from attnlab.checks import laws
from attnlab.checks.exercise import Case, Exercise, Mistake, draw_sizes
from attnlab.checks.laws import Law, Seen, close
from attnlab.reference.frame_attention import frame_attention as reference


def draw(generator: torch.Generator) -> list[Case]:
    size = draw_sizes(generator, "batch", "width", "hidden", "t")
    size |= {axis: size[axis] if size[axis] > 3 else size[axis] + 8 for axis in ("batch", "t")}
    b, w, h, t = size.values()

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    pose = normal(b, w) + 0.5
    head = (normal(h, w) / w**0.5, 0.7 * normal(h), normal(t, h) * 1.5 / h**0.5, 0.7 * normal(t) + 0.3)
    return [
        Case("plain", (pose, *head)),
        Case("all scores one higher", (pose, *head[:3], head[3] + 1.0)),
        Case("first item alone", (pose[:1], *head)),
        Case("no batch axis", (pose[0], *head)),
        Case("clips and persons", (torch.stack([pose, pose.flip(0), -pose]), *head)),
        Case("large scores", (pose, *head[:2], head[2] * 400, head[3])),
        Case("float64", tuple(v.double() for v in (pose, *head))),
        Case("gradients", (pose, *head), gradients=True),
    ]


def only_differences_count(seen: Seen) -> str | None:
    before, after = seen.output("plain", "weights"), seen.output("all scores one higher", "weights")
    return (
        None
        if close(after, before)
        else "All biases were raised by one, and the weights moved: moments do not compete."
    )


def over(axis):
    return lambda scores: scores.softmax(axis)


over_moments = over(-1)


def unshifted(scores):
    powers = scores.exp()
    return powers / powers.sum(-1, keepdim=True)


def normalised_sigmoid(scores):
    gates = scores.sigmoid().clamp(min=1e-30)
    return gates / gates.sum(-1, keepdim=True)


def by_the_largest(scores):
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    return powers / powers.amax(-1, keepdim=True)


def flawed(
    pose,
    hidden_weight,
    hidden_bias,
    frame_weight,
    frame_bias,
    *,
    inner=torch.tanh,
    outer=over_moments,
    first_bias=1.0,
    second_bias=1.0,
    backwards=False,
    cut=False,
    in_place=False,
    single=False,
    batch_mean=False,
):
    """The head with one switch for each way of getting it wrong; with none set it is right."""
    if in_place:
        pose *= 2
        pose = pose / 2
    if batch_mean and pose.ndim > 1:
        pose = pose - pose.mean(dim=0, keepdim=True)
    hidden = inner(pose @ hidden_weight.mT + first_bias * hidden_bias)
    if single:
        hidden = torch.tanh(pose.float() @ hidden_weight.float().mT + hidden_bias.float()).to(pose.dtype)
    weights = outer(hidden @ frame_weight.mT + second_bias * frame_bias)
    weights = weights.flip(-1) if backwards else weights
    return weights.detach() if cut else weights


MISTAKES = (
    Mistake(
        "sigmoid",
        "each moment has a gate of its own.",
        "That is the head for places. Moments share one unit in the published block: they compete.",
        "normalise with a softmax over the last axis, t.",
        partial(flawed, outer=torch.sigmoid),
    ),
    Mistake(
        "softmax over the first axis",
        "the softmax runs over axis 0, the batch.",
        "Clips would share one budget for each moment; a batch of one gives weights of 1 throughout.",
        "say dim=-1.",
        partial(flawed, outer=over(0)),
    ),
    Mistake(
        "ReLU gate",
        "the gates are a ReLU of the scores.",
        "STA-LSTM gates frames like that, without normalising. Here the weights of a clip sum to one.",
        "normalise with a softmax over the last axis.",
        partial(flawed, outer=torch.relu),
    ),
    Mistake(
        "no softmax",
        "the scores are returned.",
        "Scores may be negative and sum to anything.",
        "normalise with a softmax over the last axis.",
        partial(flawed, outer=lambda scores: scores),
    ),
    Mistake(
        "sigmoids shared out",
        "sigmoids are divided by their sum.",
        "The rows sum to one, but a sigmoid saturates: no moment can get far more than the others once all are open.",
        "use the softmax: exponentials divided by their sum.",
        partial(flawed, outer=normalised_sigmoid),
    ),
    Mistake(
        "divided by the largest",
        "exponentials are divided by the largest of them.",
        "Then the best moment always has weight 1, and the sum is anything from 1 to t.",
        "divide by the sum.",
        partial(flawed, outer=by_the_largest),
    ),
    Mistake(
        "log-softmax",
        "the logarithms of the weights are returned.",
        "They are negative; as weights they would turn every feature's sign.",
        "use softmax, not log_softmax.",
        partial(flawed, outer=partial(torch.log_softmax, dim=-1)),
    ),
    Mistake(
        "overflow",
        "exp() is taken of the scores as they are.",
        "exp(89) is beyond float32. Subtract the largest score first, which changes no weight.",
        "use torch.softmax, or subtract the maximum.",
        partial(flawed, outer=unshifted),
    ),
    Mistake(
        "sigmoid inside",
        "the hidden layer has a sigmoid.",
        "The published head has tanh there, as the other head has.",
        "use torch.tanh for the hidden layer.",
        partial(flawed, inner=torch.sigmoid),
    ),
    Mistake(
        "no tanh",
        "nothing stands between the two linear maps.",
        "Two linear maps in a row are one.",
        "put torch.tanh around the first.",
        partial(flawed, inner=lambda hidden: hidden),
    ),
    Mistake(
        "no hidden bias",
        "the first bias is left out.",
        "Each hidden unit has its own threshold.",
        "add hidden_bias before the tanh.",
        partial(flawed, first_bias=0.0),
    ),
    Mistake(
        "no frame bias",
        "the second bias is left out.",
        "It says which moments matter before the skeleton has said anything: the middle of a clip, often.",
        "add frame_bias before the softmax.",
        partial(flawed, second_bias=0.0),
    ),
    Mistake(
        "time runs backwards",
        "the moments come out in reverse.",
        "Nothing about a shape or a sum tells; the first moment gets the weight of the last.",
        "leave the order as it is in frame_weight.",
        partial(flawed, backwards=True),
    ),
    Mistake(
        "batch mean taken off",
        "the mean pose of the batch is subtracted first.",
        "Then a clip's weights depend on its neighbours in the batch, and a clip alone has a pose of zeros.",
        "use the pose as it comes.",
        partial(flawed, batch_mean=True),
    ),
    Mistake(
        "in float32 inside",
        "the pose is turned into float32 on the way.",
        "Whoever computes in float64, to check a gradient for instance, gets back seven digits only.",
        "leave out .float(); the parameters have the pose's dtype already.",
        partial(flawed, single=True),
    ),
    Mistake(
        "graph is cut",
        "the weights are detached from the graph.",
        "The numbers are right, but when to look can never be learnt.",
        "leave out .detach(), .data and no_grad().",
        partial(flawed, cut=True),
    ),
    Mistake(
        "changes the pose",
        "the pose is scaled in place.",
        "joint_attention needs the same pose, and would get another one.",
        "write pose = pose * ..., or leave it as it is.",
        partial(flawed, in_place=True),
    ),
)


def _linear(pose, hidden_weight, hidden_bias, frame_weight, frame_bias):
    return F.linear(F.linear(pose, hidden_weight, hidden_bias).tanh(), frame_weight, frame_bias).softmax(-1)


def _log_domain(pose, hidden_weight, hidden_bias, frame_weight, frame_bias):
    scores = torch.tanh(pose @ hidden_weight.T + hidden_bias) @ frame_weight.T + frame_bias
    return (scores - scores.logsumexp(-1, keepdim=True)).exp()


def _shifted(pose, hidden_weight, hidden_bias, frame_weight, frame_bias):
    hidden = torch.tanh(torch.einsum("...w,hw->...h", pose, hidden_weight) + hidden_bias)
    scores = torch.einsum("...h,th->...t", hidden, frame_weight) + frame_bias
    powers = (scores - scores.max(dim=-1, keepdim=True).values).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


def _in_float64(pose, *head):
    return reference(pose.double(), *(p.double() for p in head)).to(pose.dtype)


def _moment_by_moment(pose, hidden_weight, hidden_bias, frame_weight, frame_bias):
    hidden = torch.tanh(pose @ hidden_weight.mT + hidden_bias)
    scores = [(hidden * row).sum(-1) + bias for row, bias in zip(frame_weight, frame_bias, strict=True)]
    return torch.stack(scores, dim=-1).softmax(dim=-1)


frame_attention = Exercise(
    name="frame_attention",
    title="When to look",
    stars=2,
    importance=4,
    minutes=8,
    answer=reference,
    returns=("weights",),
    draw=draw,
    laws=(
        laws.RIGHT_SHAPES,
        Law("moments sum to one", 1, "Do a clip's weights sum to one?", laws.sums_to_one("plain", of="weights")),
        Law("moments compete", 1, "Do only differences between scores count?", only_differences_count),
        Law(
            "right numbers",
            3,
            "Are the weights the reference's?",
            laws.equals_reference("plain", "no batch axis", "clips and persons"),
        ),
        Law("large scores stay finite", 1, "Are large scores no problem?", laws.stays_finite("large scores")),
        laws.ITEMS_APART,
        laws.GRADIENT,
        laws.INPUTS_KEPT,
        laws.FLOAT64,
    ),
    mistakes=MISTAKES,
    also_right={
        "F.linear": _linear,
        "log-sum-exp": _log_domain,
        "shifted by hand": _shifted,
        "in float64 inside": _in_float64,
        "moment by moment": _moment_by_moment,
    },
    hints=(
        "Print `weights.sum(-1)`. What should it be for every clip?",
        "“Moments sum to one” and “moments compete” are about the last step. If only “right numbers” fails, look at the "
        "biases and the tanh.",
        "The first line is that of joint_attention. The second: hidden times frame_weight turned, plus frame_bias, and a "
        "softmax over the last axis.",
        "A twin on another task, how a day is shared out among chores:\n"
        "    energy = torch.tanh(morning @ to_energy.mT + habit)\n"
        "    hours = (energy @ chore_weight.mT + chore_bias).softmax(dim=-1)",
    ),
)
