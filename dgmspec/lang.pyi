"""Python constructors of the language. Generated: see `python -m dgmspec.spec.lang`."""

from typing import Any

from dgmspec.algebra.nodes import AbstractExpr, AbstractOperand, Call, Name
from dgmspec.spec.lang import (
    Spec as Spec,
    Value as Value,
    along as along,
    apply as apply,
    between as between,
    bijector as bijector,
    binary as binary,
    category as category,
    chain as chain,
    cholesky as cholesky,
    circle as circle,
    data as data,
    define as define,
    energy as energy,
    false as false,
    flow as flow,
    fn as fn,
    generate as generate,
    given as given,
    inf as inf,
    infer as infer,
    integer as integer,
    interval as interval,
    inverse as inverse,
    kernel as kernel,
    latent as latent,
    learn as learn,
    like as like,
    loss as loss,
    model as model,
    net as net,
    observe as observe,
    param as param,
    path as path,
    pi as pi,
    positive as positive,
    predict as predict,
    real as real,
    repeat as repeat,
    sample as sample,
    setting as setting,
    simplex as simplex,
    sym as sym,
    text as text,
    train as train,
    true as true,
    unit as unit,
    update as update,
    use as use,
)


class Word(AbstractOperand):
    name: str
    def as_expr(self) -> AbstractExpr: ...

class _Abs(Word):
    """a function of formulas; step: The magnitude of each coordinate; the way back draws its sign."""
    def __call__(self, *args: Value, net: Value = ...) -> Name | Call: ...

abs: _Abs

class _Actnorm(Word):
    """step: Activation normalisation: a learned scale and shift, started so that the first batch is standardised."""
    def __call__(self, *args: Value) -> Name | Call: ...

actnorm: _Actnorm

class _Adam(Word):
    """optimizer: Adam: steps of size `lr` along the running mean of the gradient over the root of its running square."""
    def __call__(self, *args: Value, lr: Value = ..., betas: Value = ..., weight_decay: Value = ...) -> Name | Call: ...

adam: _Adam

class _Adamw(Word):
    """optimizer: Adam with decoupled weight decay: the weights also shrink by ``lr · weight_decay`` of themselves each step."""
    def __call__(self, *args: Value, lr: Value = ..., betas: Value = ..., weight_decay: Value = ...) -> Name | Call: ...

adamw: _Adamw

class _Additive(Word):
    """scalar: ``y = x + t``, on the circle modulo 2π."""
    def __call__(self, *args: Value) -> Name | Call: ...

additive: _Additive

class _Affine(Word):
    """scalar: ``y = x exp(s) + t`` with ``s = c tanh(r / c)``, the clamp c keeping the slope within (e^-c, e^c)."""
    def __call__(self, *args: Value, clamp: Value = ...) -> Name | Call: ...

affine: _Affine

class _Alternate(Word):
    """mask: Coordinates i with i + k even are untouched: ``alternate(0)`` keeps 0, 2, 4, …, ``alternate(1)`` the others."""
    def __call__(self, *args: Value, k: Value = ...) -> Name | Call: ...

alternate: _Alternate

class _Ancestral(Word):
    """sampler: x_s drawn from q(x_s | x_t, x̂_0) with the predicted clean data, step by step; along any Gaussian path. A `markov`."""
    def __call__(self, *args: Value, steps: Value = ..., spacing: Value = ...) -> Name | Call: ...

ancestral: _Ancestral

class _AnnealedLangevin(Word):
    """sampler: Langevin steps at each level of noise, from the highest down: x ← x + η/2 · s(x, σ) + √η z with."""
    def __call__(self, *args: Value, steps: Value = ..., step_size: Value = ..., levels: Value = ...) -> Name | Call: ...

annealed_langevin: _AnnealedLangevin

class _Arcsinh(Word):
    """a function of formulas; scalar: ``y = log(x + √(x² + 1))``: linear at 0, logarithmic on both sides far out."""
    def __call__(self, *args: Value) -> Name | Call: ...

arcsinh: _Arcsinh

class _Arctan(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

arctan: _Arctan

class _Argmax(Word):
    """step: Labels made continuous: numbers of which the label's is the largest, or whose signs are its binary digits."""
    def __call__(self, *args: Value, net: Value = ..., code: Value = ..., scalar: Value = ...) -> Name | Call: ...

argmax: _Argmax

class _Augment(Word):
    """step: Coordinates that are noise, drawn behind the event, so that what follows has room to move it through."""
    def __call__(self, *args: Value, count: Value = ..., net: Value = ..., scalar: Value = ...) -> Name | Call: ...

augment: _Augment

class _Autoregressive(Word):
    """distribution: ``p(x) = Π_i D(x_i; net(x_j before i, c))``: a masked net gives the parameters of each coordinate's law; step: ``y_i = T(x_i; net(x_j before i, c))``: the parameters of a coordinate read those before it in the order."""
    def __call__(self, *args: Value, law: Value = ..., order: Value = ..., net: Value = ..., scalar: Value = ...) -> Name | Call: ...

autoregressive: _Autoregressive

class _Batchnorm(Word):
    """step: Batch normalisation, then a learned scale and shift."""
    def __call__(self, *args: Value, momentum: Value = ..., eps: Value = ...) -> Name | Call: ...

batchnorm: _Batchnorm

class _Bernoulli(Word):
    """distribution: The law of a coin: 1 with probability σ(logits)."""
    def __call__(self, *args: Value, probs: Value = ..., logits: Value = ...) -> Name | Call: ...

bernoulli: _Bernoulli

class _Bernstein(Word):
    """scalar: ``y = Σ_k c_k C(M, k) u^k (1 - u)^(M - k)``, ``u = (x - a) / (b - a)`` in a box (a, b), increasing c; outside the."""
    def __call__(self, *args: Value, degree: Value = ..., bound: Value = ...) -> Name | Call: ...

bernstein: _Bernstein

class _Beta(Word):
    """distribution: The beta law."""
    def __call__(self, *args: Value, concentration1: Value = ..., concentration0: Value = ...) -> Name | Call: ...

beta: _Beta

class _BetaBinomial(Word):
    """distribution: The number of successes in n trials whose common chance is itself drawn from a beta law; n is the range's length."""
    def __call__(self, *args: Value, concentration1: Value = ..., concentration0: Value = ...) -> Name | Call: ...

beta_binomial: _BetaBinomial

class _Binarize(Word):
    """bits: One variable's grey levels as bits, beside the other variables of a file: ``x = binarize(stochastic)``."""
    def __call__(self, *args: Value, how: Value = ..., white: Value = ...) -> Name | Call: ...

binarize: _Binarize

class _BlockAutoregressive(Word):
    """step: A net with tanh layers whose weights are block triangular and positive on the diagonal blocks (BNAF)."""
    def __call__(self, *args: Value, hidden: Value = ..., layers: Value = ...) -> Name | Call: ...

block_autoregressive: _BlockAutoregressive

class _Bosh3(Word):
    """solver: Bogacki and Shampine's pair of orders 3 and 2. Reference: Applied Mathematics Letters 2, 1989."""
    def __call__(self, *args: Value, rtol: Value = ..., atol: Value = ..., max_steps: Value = ...) -> Name | Call: ...

bosh3: _Bosh3

class _Categorical(Word):
    """distribution: A label with a probability for each, independently in each coordinate."""
    def __call__(self, *args: Value, probs: Value = ..., logits: Value = ...) -> Name | Call: ...

categorical: _Categorical

class _Cauchy(Word):
    """distribution: The Cauchy law, Student's t of one degree of freedom."""
    def __call__(self, *args: Value, loc: Value = ..., scale: Value = ...) -> Name | Call: ...

cauchy: _Cauchy

class _Cayley(Word):
    """linear form: ``W = (I + A)⁻¹ (I - A)``, A skew-symmetric: orthogonal with determinant 1, for all values of A."""
    def __call__(self, *args: Value) -> Name | Call: ...

cayley: _Cayley

class _Cd(Word):
    """loss: Contrastive divergence of an energy E, p(x) ∝ exp(-E(x)): E(x) - E(y) over data x and the ends y of `steps` steps."""
    def __call__(self, *args: Value, steps: Value = ..., step_size: Value = ..., method: Value = ..., persistent: Value = ..., buffer: Value = ..., reinit: Value = ..., start: Value = ..., magnitude: Value = ...) -> Name | Call: ...

cd: _Cd

class _Channels(Word):
    """mask: Half of the channels (the first dimension) is untouched: the first ⌊c/2⌋ where k is even, else the others."""
    def __call__(self, *args: Value, k: Value = ...) -> Name | Call: ...

channels: _Channels

class _Checkerboard(Word):
    """data: Uniform on the dark squares of a board centred at the origin; mask: Pixels whose row and column add up, with k, to an even number are untouched, in every channel."""
    def __call__(self, *args: Value, n: Value = ..., cells: Value = ..., side: Value = ..., seed: Value = ..., k: Value = ...) -> Name | Call: ...

checkerboard: _Checkerboard

class _Circles(Word):
    """data: Two concentric circles, blurred by Gaussian noise (scikit-learn's `make_circles`, times 3)."""
    def __call__(self, *args: Value, n: Value = ..., radius: Value = ..., factor: Value = ..., noise: Value = ..., seed: Value = ...) -> Name | Call: ...

circles: _Circles

class _Constant(Word):
    """schedule: The full learning rate after `warmup` steps of linear rise."""
    def __call__(self, *args: Value, warmup: Value = ...) -> Name | Call: ...

constant: _Constant

class _Conv(Word):
    """net: Convolutions with the given numbers of channels, an activation after each: ``conv(64, 64, kernel = [3, 1, 3])``."""
    def __call__(self, *args: Value, channels: Value = ..., kernel: Value = ..., activation: Value = ..., dropout: Value = ..., norm: Value = ..., time: Value = ...) -> Name | Call: ...

conv: _Conv

class _Conv1X1(Word):
    """step: One learned invertible c × c matrix for the channels of every pixel."""
    def __call__(self, *args: Value, form: Value = ...) -> Name | Call: ...

conv1x1: _Conv1X1

class _Cos(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

cos: _Cos

class _Cosh(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

cosh: _Cosh

class _Cosine(Word):
    """schedule: After `warmup` steps of linear rise, half a cosine from the full rate down to `final` times it at the last step."""
    def __call__(self, *args: Value, warmup: Value = ..., final: Value = ...) -> Name | Call: ...

cosine: _Cosine

class _Coupling(Word):
    """step: ``y_A = x_A``, ``y_B = T(x_B; net(x_A, c))``: part A, which the mask names, is untouched and read by the net."""
    def __call__(self, *args: Value, scalar: Value = ..., mask: Value = ..., net: Value = ...) -> Name | Call: ...

coupling: _Coupling

class _Csv(Word):
    """data: A CSV file: UTF-8, the names of the columns in line 1, then one row a line, every field read a number."""
    def __call__(self, *args: Value, path: Value = ..., delimiter: Value = ..., stream: Value = ..., binarize: Value = ..., white: Value = ..., **others: Value) -> Name | Call: ...

csv: _Csv

class _CubicSpline(Word):
    """scalar: Piecewise cubic on K bins: the Hermite cubic of the knots with Steffen's monotone slopes, ``d_k = min(2 s_{k-1},."""
    def __call__(self, *args: Value, bins: Value = ..., bound: Value = ...) -> Name | Call: ...

cubic_spline: _CubicSpline

class _Dag(Word):
    """order: A graph of the author's own: an edge ``[a, b]`` says that coordinate b is conditioned on coordinate a."""
    def __call__(self, *args: Value, edges: Value = ...) -> Name | Call: ...

dag: _Dag

class _Ddim(Word):
    """sampler: x_s = α_s x̂_0 + m_s + √(σ_s² - τ²) ε̂ + τ z with τ = eta times the deviation of q(x_s | x_t, x_0)."""
    def __call__(self, *args: Value, steps: Value = ..., eta: Value = ..., spacing: Value = ...) -> Name | Call: ...

ddim: _Ddim

class _Dense(Word):
    """linear form: ``W = weight``, any matrix, started orthogonal."""
    def __call__(self, *args: Value) -> Name | Call: ...

dense: _Dense

class _Dequantize(Word):
    """step: Whole numbers made continuous: each is spread over the unit interval above it."""
    def __call__(self, *args: Value, law: Value = ...) -> Name | Call: ...

dequantize: _Dequantize

class _Diagonal(Word):
    """linear form: ``W = diag(exp(log_diagonal))``: one positive factor a coordinate. log|det W| = Σ log_diagonal."""
    def __call__(self, *args: Value) -> Name | Call: ...

diagonal: _Diagonal

class _Digits(Word):
    """data: The 1,797 handwritten digits that come with scikit-learn: grey levels 0..16, 8 × 8."""
    def __call__(self, *args: Value, flat: Value = ..., labels: Value = ..., binarize: Value = ...) -> Name | Call: ...

digits: _Digits

class _DiscretizedLogistic(Word):
    """distribution: The mass of a logistic law, or of a mixture of `components`, in the cell of each whole number."""
    def __call__(self, *args: Value, loc: Value = ..., scale: Value = ..., logits: Value = ..., components: Value = ...) -> Name | Call: ...

discretized_logistic: _DiscretizedLogistic

class _Dopri5(Word):
    """solver: Dormand and Prince's pair of orders 5 and 4. Reference: J. of Computational and Applied Mathematics 6, 1980."""
    def __call__(self, *args: Value, rtol: Value = ..., atol: Value = ..., max_steps: Value = ...) -> Name | Call: ...

dopri5: _Dopri5

class _Dopri8(Word):
    """solver: Prince and Dormand's pair of orders 8 and 7. Reference: J. of Computational and Applied Mathematics 7, 1981."""
    def __call__(self, *args: Value, rtol: Value = ..., atol: Value = ..., max_steps: Value = ...) -> Name | Call: ...

dopri8: _Dopri8

class _Dot(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

dot: _Dot

class _Dsm(Word):
    """loss: Denoising score matching: ½ E w(t) ‖s(x_t, t) - ∇ log q(x_t | x_0)‖², the squared *score* error weighted."""
    def __call__(self, *args: Value, weight: Value = ..., gamma: Value = ..., sigma: Value = ...) -> Name | Call: ...

dsm: _Dsm

class _Edm(Word):
    """precondition: The net F gives ``clean = c_skip (x - m) + c_out F(c_in (x - m))``, with inputs and targets of unit variance at."""
    def __call__(self, *args: Value, data_std: Value = ...) -> Name | Call: ...

edm: _Edm

class _EightGaussians(Word):
    """data: Eight equal Gaussians on a circle."""
    def __call__(self, *args: Value, n: Value = ..., radius: Value = ..., noise: Value = ..., seed: Value = ...) -> Name | Call: ...

eight_gaussians: _EightGaussians

class _Elbo(Word):
    """loss: Minus the evidence lower bound: ``-E_q[log p(x | z)] + beta KL(q(z | x) ‖ p(z))``."""
    def __call__(self, *args: Value, samples: Value = ..., beta: Value = ..., free_bits: Value = ..., gradient: Value = ...) -> Name | Call: ...

elbo: _Elbo

class _Elementwise(Word):
    """step: ``y_i = T(x_i; θ_i)``: one set of learned constants per coordinate, or with a context ``θ = net(c)``."""
    def __call__(self, *args: Value, scalar: Value = ..., net: Value = ...) -> Name | Call: ...

elementwise: _Elementwise

class _Elu(Word):
    """scalar: ``y = x`` for x ≥ 0, ``exp(x) - 1`` below: the exponential linear unit."""
    def __call__(self, *args: Value) -> Name | Call: ...

elu: _Elu

class _Empirical(Word):
    """distribution: A row of a data source, each as likely as any other."""
    def __call__(self, *args: Value, source: Value = ..., rows: Value = ...) -> Name | Call: ...

empirical: _Empirical

class _Erf(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

erf: _Erf

class _Erfinv(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

erfinv: _Erfinv

class _Euler(Word):
    """solver: Euler's method, order 1: ``y ← y + h f(y, t)``, a residual layer."""
    def __call__(self, *args: Value, steps: Value = ...) -> Name | Call: ...

euler: _Euler

class _EulerMaruyama(Word):
    """scheme: x + f h + g ΔW, in Itô's calculus."""
    def __call__(self, *args: Value, steps: Value = ...) -> Name | Call: ...

euler_maruyama: _EulerMaruyama

class _Exact(Word):
    """scheme: Draws from the law of the state given the last step's, N(α x + m, σ²) or N(Φ x + m, L Lᵀ) where coordinates mix,; trace: The trace itself: by formula where there is one, else by one derivative for each coordinate."""
    def __call__(self, *args: Value, steps: Value = ...) -> Name | Call: ...

exact: _Exact

class _Exp(Word):
    """a function of formulas; scalar: ``y = exp(x)``."""
    def __call__(self, *args: Value) -> Name | Call: ...

exp: _Exp

class _Expm(Word):
    """linear form: ``W = exp(A)``, A skew-symmetric: orthogonal with determinant 1, for all values of A; reaches every rotation."""
    def __call__(self, *args: Value) -> Name | Call: ...

expm: _Expm

class _Expm1(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

expm1: _Expm1

class _Exponential(Word):
    """distribution: The exponential law."""
    def __call__(self, *args: Value, rate: Value = ...) -> Name | Call: ...

exponential: _Exponential

class _Fisher(Word):
    """loss: The Fisher divergence to a known law: ½ E over data of ‖s(x) - ∇ log p(x)‖², s the model's score and log p the."""
    def __call__(self, *args: Value) -> Name | Call: ...

fisher: _Fisher

class _Flatten(Word):
    """step: The same coordinates as a vector, in row-major order."""
    def __call__(self, *args: Value) -> Name | Call: ...

flatten: _Flatten

class _FlowMatching(Word):
    """loss: ``E ‖velocity(y_s, t) - dy_s/dt‖²`` along paths drawn between data and noise: no equation is solved."""
    def __call__(self, *args: Value, path: Value = ..., coupling: Value = ...) -> Name | Call: ...

flow_matching: _FlowMatching

class _ForwardKl(Word):
    """loss: ``-E_data[log q(θ | x)]`` of the `infer` of an observed θ: the mean over x of KL(p(θ | x) ‖ q(θ | x)), up to the."""
    def __call__(self, *args: Value) -> Name | Call: ...

forward_kl: _ForwardKl

class _Fourier(Word):
    """embedding: ``[cos 2π f_k x, sin 2π f_k x]`` for n/2 frequencies f, in cycles per unit: n features, ``fourier(16)``."""
    def __call__(self, *args: Value, features: Value = ..., kind: Value = ..., scale: Value = ...) -> Name | Call: ...

fourier: _Fourier

class _Gamma(Word):
    """distribution: The gamma law."""
    def __call__(self, *args: Value, concentration: Value = ..., rate: Value = ...) -> Name | Call: ...

gamma: _Gamma

class _GumbelSoftmax(Word):
    """distribution: A categorical posterior whose draws are relaxed: nets read ``softmax((logits + g) / temperature)`` of them."""
    def __call__(self, *args: Value, logits: Value = ..., temperature: Value = ..., hard: Value = ...) -> Name | Call: ...

gumbel_softmax: _GumbelSoftmax

class _Haar(Word):
    """step: One level of the orthogonal Haar wavelet: each 2 × 2 block becomes its mean, two slopes and a twist."""
    def __call__(self, *args: Value) -> Name | Call: ...

haar: _Haar

class _Half(Word):
    """mask: The first ⌊d/2⌋ of d coordinates are untouched."""
    def __call__(self, *args: Value) -> Name | Call: ...

half: _Half

class _HalfCauchy(Word):
    """distribution: The law of the magnitude of a Cauchy number, a prior of scales with a heavy tail."""
    def __call__(self, *args: Value, scale: Value = ...) -> Name | Call: ...

half_cauchy: _HalfCauchy

class _HalfNormal(Word):
    """distribution: The law of the magnitude of a normal number."""
    def __call__(self, *args: Value, scale: Value = ...) -> Name | Call: ...

half_normal: _HalfNormal

class _Heun(Word):
    """scheme: The mean of drift and diffusion over both ends of a step, the far end by Euler's rule with the same ΔW; solver: Heun's method (the explicit trapezoidal rule), order 2."""
    def __call__(self, *args: Value, steps: Value = ...) -> Name | Call: ...

heun: _Heun

class _Hmc(Word):
    """sampler: Momenta p ~ N(0, M), then `leapfrog` steps p += ε/2 ∇log p(x), x += ε M⁻¹ p, p += ε/2 ∇log p(x), whose end is; step: Hamiltonian moves on the landscape of an energy: orbits with fresh momenta, each taken by its chance."""
    def __call__(self, *args: Value, steps: Value = ..., step_size: Value = ..., start: Value = ..., leapfrog: Value = ..., warmup: Value = ..., target: Value = ..., energy: Value = ...) -> Name | Call: ...

hmc: _Hmc

class _Holdout(Word):
    """validation: A random part of the data, by the seed, that training never sees and the loss is read on `every` so many steps."""
    def __call__(self, *args: Value, fraction: Value = ..., every: Value = ..., test: Value = ...) -> Name | Call: ...

holdout: _Holdout

class _Householder(Word):
    """linear form: ``W = H(v₁) … H(v_k)``, ``H(v) = I - 2 v vᵀ / (vᵀ v)``: orthogonal, the identity plus a matrix of rank at most k."""
    def __call__(self, *args: Value, k: Value = ...) -> Name | Call: ...

householder: _Householder

class _Hutchinson(Word):
    """trace: ``tr J ≈ mean of eᵀ J e`` over random directions e with E e eᵀ = I, the same throughout a solve."""
    def __call__(self, *args: Value, probes: Value = ..., samples: Value = ...) -> Name | Call: ...

hutchinson: _Hutchinson

class _Idx(Word):
    """data: An IDX file, the format of MNIST, compressed by gzip or not, for the one variable without a file of its own."""
    def __call__(self, *args: Value, path: Value = ..., flat: Value = ..., stream: Value = ..., binarize: Value = ..., white: Value = ..., **others: Value) -> Name | Call: ...

idx: _Idx

class _Images(Word):
    """data: A folder of PNG images of one size and mode, in alphabetical order: levels 0..255, [channels, height, width]."""
    def __call__(self, *args: Value, path: Value = ..., flat: Value = ..., stream: Value = ..., binarize: Value = ..., white: Value = ...) -> Name | Call: ...

images: _Images

class _Importance(Word):
    """times: Stratified times drawn in proportion to the weight that the loss gives to the noise, each row then counted less."""
    def __call__(self, *args: Value) -> Name | Call: ...

importance: _Importance

class _Indices(Word):
    """mask: The listed flat coordinates, counted from 0, are untouched."""
    def __call__(self, *args: Value, at: Value = ...) -> Name | Call: ...

indices: _Indices

class _Ism(Word):
    """loss: Implicit score matching: E w(t) [½ ‖s(x_t, t)‖² + tr ∂s/∂x] with w = σ², which differs from."""
    def __call__(self, *args: Value) -> Name | Call: ...

ism: _Ism

class _Iwae(Word):
    """loss: The importance-weighted bound ``-E[log 1/k Σ_i p(x, z_i) / q(z_i | x)]`` over k draws of the posterior."""
    def __call__(self, *args: Value, k: Value = ...) -> Name | Call: ...

iwae: _Iwae

class _Jacobian(Word):
    """loss: ``E ∫ ‖∂velocity/∂y‖² dt`` (Frobenius): a small one lets solvers take long steps."""
    def __call__(self, *args: Value) -> Name | Call: ...

jacobian: _Jacobian

class _Kinetic(Word):
    """loss: ``E ∫ ‖velocity‖² dt`` along the paths of data: straight paths at even speed have the least."""
    def __call__(self, *args: Value) -> Name | Call: ...

kinetic: _Kinetic

class _Langevin(Word):
    """sampler: x ← x + η/2 ∇log p(x) + √η z: Euler-Maruyama steps of dx = ½ ∇log p dt + dW, whose stationary law is p."""
    def __call__(self, *args: Value, steps: Value = ..., step_size: Value = ..., start: Value = ...) -> Name | Call: ...

langevin: _Langevin

class _Laplace(Word):
    """distribution: The Laplace (double exponential) law."""
    def __call__(self, *args: Value, loc: Value = ..., scale: Value = ...) -> Name | Call: ...

laplace: _Laplace

class _LeakyRelu(Word):
    """scalar: ``y = x`` for x ≥ 0, ``slope x`` below."""
    def __call__(self, *args: Value, slope: Value = ...) -> Name | Call: ...

leaky_relu: _LeakyRelu

class _Linear(Word):
    """schedule: After `warmup` steps of linear rise, a straight line from the full rate down to `final` times it; step: A learned invertible matrix, with a learned shift where `bias` is true."""
    def __call__(self, *args: Value, warmup: Value = ..., final: Value = ..., form: Value = ..., bias: Value = ...) -> Name | Call: ...

linear: _Linear

class _LinearSpline(Word):
    """scalar: Piecewise linear on K bins of equal width: ``y = y_k + h_k (x - x_k) / w``."""
    def __call__(self, *args: Value, bins: Value = ..., bound: Value = ...) -> Name | Call: ...

linear_spline: _LinearSpline

class _Log(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

log: _Log

class _Log1P(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

log1p: _Log1P

class _LogNormal(Word):
    """distribution: The law of a number whose logarithm is normal; times: The time at which log(σ/α) is N(mean, std²), cut to (t_eps, T): the loss is averaged over *these* times."""
    def __call__(self, *args: Value, loc: Value = ..., scale: Value = ..., mean: Value = ..., std: Value = ...) -> Name | Call: ...

log_normal: _LogNormal

class _Logistic(Word):
    """distribution: The logistic law, whose distribution function is the sigmoid."""
    def __call__(self, *args: Value, loc: Value = ..., scale: Value = ...) -> Name | Call: ...

logistic: _Logistic

class _LogisticMixtureCdf(Word):
    """scalar: ``y = Σ_j w_j σ(a_j x + b_j + o_j)``: the distribution function of a mixture of logistics."""
    def __call__(self, *args: Value, k: Value = ...) -> Name | Call: ...

logistic_mixture_cdf: _LogisticMixtureCdf

class _Logit(Word):
    """a function of formulas; scalar: ``y = log(u / (1 - u))`` with ``u = α + (1 - 2α) (x - a) / (b - a)`` on the interval (a, b) that reaches it."""
    def __call__(self, *args: Value, alpha: Value = ...) -> Name | Call: ...

logit: _Logit

class _Logsumexp(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

logsumexp: _Logsumexp

class _LowRank(Word):
    """step: The identity plus a matrix of rank k, invertible for all values of its parameters."""
    def __call__(self, *args: Value, k: Value = ...) -> Name | Call: ...

low_rank: _LowRank

class _Made(Word):
    """net: Masked net: what it gives for a coordinate depends on the coordinates before it alone."""
    def __call__(self, *args: Value, hidden: Value = ..., activation: Value = ..., dropout: Value = ..., residual: Value = ..., order: Value = ...) -> Name | Call: ...

made: _Made

class _Mala(Word):
    """sampler: `langevin` whose step to y is taken with the chance min(1, p(y) q(x|y) / (p(x) q(y|x))), q the normal law of a."""
    def __call__(self, *args: Value, steps: Value = ..., step_size: Value = ..., start: Value = ...) -> Name | Call: ...

mala: _Mala

class _Markov(Word):
    """settings: Settings in the braces of a `markov`."""
    def __call__(self, *args: Value, variance: Value = ..., times: Value = ..., precondition: Value = ...) -> Name | Call: ...

markov: _Markov

class _MaskedConv(Word):
    """net: Masked convolutions (PixelCNN): ``masked_conv(32, 32, 32, kernel = [7, 3, 3, 1])``."""
    def __call__(self, *args: Value, channels: Value = ..., kernel: Value = ..., activation: Value = ..., dropout: Value = ..., residual: Value = ..., order: Value = ...) -> Name | Call: ...

masked_conv: _MaskedConv

class _Max(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

max: _Max

class _MaxPool(Word):
    """step: The largest number of each window; the way back draws where it stood, and by how much the others fall short."""
    def __call__(self, *args: Value, size: Value = ..., net: Value = ...) -> Name | Call: ...

max_pool: _MaxPool

class _Mc(Word):
    """loss: The naive Monte-Carlo likelihood ``-log 1/n Σ_i p(x | z_i)`` over n draws of the prior."""
    def __call__(self, *args: Value, samples: Value = ...) -> Name | Call: ...

mc: _Mc

class _Mean(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

mean: _Mean

class _Metropolis(Word):
    """step: Random-walk Metropolis moves on the landscape of an energy, the same both ways."""
    def __call__(self, *args: Value, energy: Value = ..., scale: Value = ..., steps: Value = ...) -> Name | Call: ...

metropolis: _Metropolis

class _Midpoint(Word):
    """solver: The midpoint method, order 2."""
    def __call__(self, *args: Value, steps: Value = ...) -> Name | Call: ...

midpoint: _Midpoint

class _Milstein(Word):
    """scheme: x + f h + g ΔW + g_i ∂g_i/∂x_i (ΔW² - h) / 2, in Itô's calculus, the derivative taken from the formula."""
    def __call__(self, *args: Value, steps: Value = ...) -> Name | Call: ...

milstein: _Milstein

class _Min(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

min: _Min

class _Mixture(Word):
    """distribution: A mixture of whole events: one component is chosen for the event, and all its coordinates come from that one."""
    def __call__(self, *args: Value, components: Value = ..., weights: Value = ...) -> Name | Call: ...

mixture: _Mixture

class _Mlp(Word):
    """net: Hidden layers of the given widths, an activation after each: ``mlp(64, 64)``; ``mlp()`` is an affine map."""
    def __call__(self, *args: Value, hidden: Value = ..., activation: Value = ..., dropout: Value = ..., norm: Value = ..., time: Value = ..., inputs: Value = ...) -> Name | Call: ...

mlp: _Mlp

class _Moebius(Word):
    """scalar: ``h(z) = (1 - |ω|²) (z - ω) / |z - ω|² - ω`` for the point z = (cos x, sin x) and ω inside the unit disc."""
    def __call__(self, *args: Value) -> Name | Call: ...

moebius: _Moebius

class _MultivariateNormal(Word):
    """distribution: The normal law of a vector with a full covariance Σ = L Lᵀ."""
    def __call__(self, *args: Value, loc: Value = ..., covariance_matrix: Value = ..., precision_matrix: Value = ..., scale_tril: Value = ...) -> Name | Call: ...

multivariate_normal: _MultivariateNormal

class _Natural(Word):
    """order: Coordinate i is produced at position i; of an image, channel by channel and each row by row."""
    def __call__(self, *args: Value) -> Name | Call: ...

natural: _Natural

class _Nearest(Word):
    """distribution: The nearest of K learned codes to a net's vector: a posterior without noise, whose nets read the code itself."""
    def __call__(self, *args: Value, vector: Value = ..., dim: Value = ..., decay: Value = ..., restart: Value = ...) -> Name | Call: ...

nearest: _Nearest

class _NegativeBinomial(Word):
    """distribution: The number of successes before `total_count` failures, given that it is in the range of its variable."""
    def __call__(self, *args: Value, total_count: Value = ..., probs: Value = ..., logits: Value = ...) -> Name | Call: ...

negative_binomial: _NegativeBinomial

class _Nll(Word):
    """loss: The negative log-likelihood ``-E_data[log p(x)]``: forward KL(data ‖ model) up to the data's entropy."""
    def __call__(self, *args: Value) -> Name | Call: ...

nll: _Nll

class _Norm(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

norm: _Norm

class _Normal(Word):
    """distribution: The normal (Gaussian) law."""
    def __call__(self, *args: Value, loc: Value = ..., scale: Value = ...) -> Name | Call: ...

normal: _Normal

class _Npy(Word):
    """data: A file of `numpy.save`, (rows, *event), for the one variable that has no file of its own. Pickles are refused."""
    def __call__(self, *args: Value, path: Value = ..., stream: Value = ..., binarize: Value = ..., white: Value = ..., **others: Value) -> Name | Call: ...

npy: _Npy

class _Npz(Word):
    """data: A file of `numpy.savez`: a variable takes the array whose key the call gives it, else the one of its name."""
    def __call__(self, *args: Value, path: Value = ..., binarize: Value = ..., white: Value = ..., **others: Value) -> Name | Call: ...

npz: _Npz

class _Ode(Word):
    """settings: Settings in the braces of an `ode`."""
    def __call__(self, *args: Value, solver: Value = ..., trace: Value = ..., gradient: Value = ...) -> Name | Call: ...

ode: _Ode

class _Orthogonal(Word):
    """step: A learned rotation (or, by reflections, any orthogonal map) that stays orthogonal under training."""
    def __call__(self, *args: Value, form: Value = ...) -> Name | Call: ...

orthogonal: _Orthogonal

class _Parquet(Word):
    """data: A Parquet file with columns of numbers, none of them null; only the columns in use are read."""
    def __call__(self, *args: Value, path: Value = ..., stream: Value = ..., binarize: Value = ..., white: Value = ..., **others: Value) -> Name | Call: ...

parquet: _Parquet

class _Patience(Word):
    """stop: Training ends after `n` readings of the validation loss in a row without a new best one."""
    def __call__(self, *args: Value, n: Value = ...) -> Name | Call: ...

patience: _Patience

class _Permute(Word):
    """step: A fixed permutation of the coordinates of a vector, or of the channels (the first dimension) of a larger event."""
    def __call__(self, *args: Value, order: Value = ...) -> Name | Call: ...

permute: _Permute

class _Perturb(Word):
    """settings: Settings in the braces of a `perturb`."""
    def __call__(self, *args: Value, t_eps: Value = ..., times: Value = ..., precondition: Value = ..., likelihood: Value = ...) -> Name | Call: ...

perturb: _Perturb

class _PfOde(Word):
    """likelihood: The likelihood by the probability flow, dx/dt = f - g² s / 2, from the earliest time in use to the end; sampler: The probability flow, dx = (f - g² s / 2) dt: the same laws at every time, and no noise but the start's."""
    def __call__(self, *args: Value, solver: Value = ..., trace: Value = ..., steps: Value = ..., spacing: Value = ...) -> Name | Call: ...

pf_ode: _PfOde

class _Pinwheel(Word):
    """data: Gaussian blades bent into a wheel, each point turned by an angle that grows with its distance from the centre."""
    def __call__(self, *args: Value, n: Value = ..., arms: Value = ..., radial_std: Value = ..., tangential_std: Value = ..., rate: Value = ..., scale: Value = ..., seed: Value = ...) -> Name | Call: ...

pinwheel: _Pinwheel

class _Planar(Word):
    """step: A planar flow: the event is moved along u by how far it lies in the direction w."""
    def __call__(self, *args: Value, net: Value = ...) -> Name | Call: ...

planar: _Planar

class _Plu(Word):
    """linear form: ``W = P (I + lower) (upper + diag(exp(log_diagonal)))``, P a fixed permutation drawn by `seed`."""
    def __call__(self, *args: Value, seed: Value = ...) -> Name | Call: ...

plu: _Plu

class _Poisson(Word):
    """distribution: The Poisson law of a count, given that the count is in the range of its variable."""
    def __call__(self, *args: Value, rate: Value = ...) -> Name | Call: ...

poisson: _Poisson

class _Power(Word):
    """scalar: ``y = x^p`` for positive x."""
    def __call__(self, *args: Value, p: Value = ...) -> Name | Call: ...

power: _Power

class _Qr(Word):
    """linear form: ``W = Q (upper + diag(exp(log_diagonal)))``, Q the product of d Householder reflections."""
    def __call__(self, *args: Value) -> Name | Call: ...

qr: _Qr

class _QuadraticSpline(Word):
    """scalar: Piecewise quadratic on K bins, the integral of a piecewise linear slope with knot values v. With."""
    def __call__(self, *args: Value, bins: Value = ..., bound: Value = ...) -> Name | Call: ...

quadratic_spline: _QuadraticSpline

class _Radial(Word):
    """step: A radial flow: the event is moved towards or away from a centre."""
    def __call__(self, *args: Value, net: Value = ...) -> Name | Call: ...

radial: _Radial

class _Random(Word):
    """mask: ⌊d/2⌋ of d coordinates, drawn from `seed`, are untouched; order: An order drawn from `seed`; permutation: A permutation drawn by `seed`, the same on every machine and in every run."""
    def __call__(self, *args: Value, seed: Value = ...) -> Name | Call: ...

random: _Random

class _Raster(Word):
    """order: Pixel by pixel, row by row, the channels of a pixel in turn; for odd k from the last pixel back to the first."""
    def __call__(self, *args: Value, k: Value = ...) -> Name | Call: ...

raster: _Raster

class _Reflow(Word):
    """loss: Rectification: ``E ‖velocity(y_s, t) - dy_s/dt‖²`` along straight lines between noise and where it was carried."""
    def __call__(self, *args: Value, solver: Value = ...) -> Name | Call: ...

reflow: _Reflow

class _Relu(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

relu: _Relu

class _Resampled(Word):
    """distribution: Learned accept and reject: x is proposed by π and kept with the chance ``a(x) = sigmoid(net(x))``, else another."""
    def __call__(self, *args: Value, net: Value = ..., base: Value = ..., truncate: Value = ..., draws: Value = ...) -> Name | Call: ...

resampled: _Resampled

class _Reshape(Word):
    """step: The same coordinates, in row-major order, in another shape."""
    def __call__(self, *args: Value, dims: Value = ...) -> Name | Call: ...

reshape: _Reshape

class _Residual(Word):
    """step: An invertible residual block: the identity plus a net that contracts."""
    def __call__(self, *args: Value, net: Value = ..., lipschitz: Value = ..., log_det: Value = ..., terms: Value = ...) -> Name | Call: ...

residual: _Residual

class _Resmlp(Word):
    """net: Residual net: ``z_0 = W [x, c]``, then per block ``z ← z + step (W″ a(W′ a(z)))``, then ``W a(z)``."""
    def __call__(self, *args: Value, width: Value = ..., blocks: Value = ..., activation: Value = ..., dropout: Value = ..., tied: Value = ..., step: Value = ..., norm: Value = ..., time: Value = ..., inputs: Value = ...) -> Name | Call: ...

resmlp: _Resmlp

class _Resnet(Word):
    """net: Residual net: a convolution, then per block ``z ← z + W″ * a(n(W′ * a(n(z))))``, then ``W * a(n(z))`` with a 1×1."""
    def __call__(self, *args: Value, channels: Value = ..., blocks: Value = ..., kernel: Value = ..., activation: Value = ..., dropout: Value = ..., norm: Value = ..., time: Value = ...) -> Name | Call: ...

resnet: _Resnet

class _Reverse(Word):
    """order: The last coordinate is produced first; permutation: The coordinates from last to first: ``y[i] = x[d - 1 - i]``."""
    def __call__(self, *args: Value) -> Name | Call: ...

reverse: _Reverse

class _ReverseKl(Word):
    """loss: KL(model ‖ target) up to the target's normaliser: ``E_q[log q(x) - e(x)]`` for ``observe x : T ~ exp(e(x))``."""
    def __call__(self, *args: Value) -> Name | Call: ...

reverse_kl: _ReverseKl

class _ReverseSde(Word):
    """sampler: The process run backwards: dx = (f - g² s) dt + g dW from the end of time, s the learned score."""
    def __call__(self, *args: Value, steps: Value = ..., solver: Value = ..., spacing: Value = ..., corrector: Value = ..., snr: Value = ...) -> Name | Call: ...

reverse_sde: _ReverseSde

class _Rings(Word):
    """data: Four concentric rings at 1/4, 1/2, 3/4 and 1 of a radius, blurred by Gaussian noise."""
    def __call__(self, *args: Value, n: Value = ..., radius: Value = ..., noise: Value = ..., seed: Value = ...) -> Name | Call: ...

rings: _Rings

class _Rk4(Word):
    """solver: The classical Runge-Kutta method, order 4."""
    def __call__(self, *args: Value, steps: Value = ...) -> Name | Call: ...

rk4: _Rk4

class _Rqs(Word):
    """scalar: Monotonic rational-quadratic spline on K bins. With θ = (x - x_k) / w_k, s = h_k / w_k and knot slopes δ,."""
    def __call__(self, *args: Value, bins: Value = ..., bound: Value = ..., knots: Value = ...) -> Name | Call: ...

rqs: _Rqs

class _Sde(Word):
    """settings: Settings in the braces of an `sde`."""
    def __call__(self, *args: Value, init_noise: Value = ..., t_eps: Value = ..., times: Value = ..., precondition: Value = ..., likelihood: Value = ..., solver: Value = ..., calculus: Value = ...) -> Name | Call: ...

sde: _Sde

class _Sgd(Word):
    """optimizer: Stochastic gradient descent with momentum: ``v ← momentum · v + g``, ``w ← w - lr · v``."""
    def __call__(self, *args: Value, lr: Value = ..., momentum: Value = ..., weight_decay: Value = ...) -> Name | Call: ...

sgd: _Sgd

class _ShiftScale(Word):
    """scalar: ``y = shift + scale x`` with fixed numbers, or one number a coordinate."""
    def __call__(self, *args: Value, shift: Value = ..., scale: Value = ...) -> Name | Call: ...

shift_scale: _ShiftScale

class _Sigmoid(Word):
    """a function of formulas; scalar: ``y = 1 / (1 + exp(-x))``."""
    def __call__(self, *args: Value) -> Name | Call: ...

sigmoid: _Sigmoid

class _SigmoidMixture(Word):
    """scalar: ``y = logit(Σ_j w_j σ(a_j x + b_j + o_j))``, the deep sigmoidal flow: a mixture's distribution function on ℝ."""
    def __call__(self, *args: Value, k: Value = ...) -> Name | Call: ...

sigmoid_mixture: _SigmoidMixture

class _Sign(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

sign: _Sign

class _Simulation(Word):
    """settings: Settings in the braces of an `sde` that starts at the prior."""
    def __call__(self, *args: Value, solver: Value = ..., calculus: Value = ...) -> Name | Call: ...

simulation: _Simulation

class _Sin(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

sin: _Sin

class _Sinh(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

sinh: _Sinh

class _SinhArcsinh(Word):
    """scalar: ``y = sinh(a arcsinh(x) + b)``: b skews, a < 1 draws the tails in, a > 1 draws them out."""
    def __call__(self, *args: Value, clamp: Value = ...) -> Name | Call: ...

sinh_arcsinh: _SinhArcsinh

class _Softplus(Word):
    """a function of formulas; scalar: ``y = log(1 + exp(x))``."""
    def __call__(self, *args: Value) -> Name | Call: ...

softplus: _Softplus

class _Softsign(Word):
    """scalar: ``y = x / (1 + |x|)``."""
    def __call__(self, *args: Value) -> Name | Call: ...

softsign: _Softsign

class _Solve(Word):
    """sampler: The model's own direction with its odes solved by another solver: fewer evaluations, or smaller errors."""
    def __call__(self, *args: Value, solver: Value = ...) -> Name | Call: ...

solve: _Solve

class _Sort(Word):
    """step: A vector's numbers without their order: the least, and the logarithms of the gaps between the sorted ones."""
    def __call__(self, *args: Value) -> Name | Call: ...

sort: _Sort

class _Sos(Word):
    """scalar: ``y = c + ∫_0^x (0.001 + Σ_j (Σ_l a_{jl} t^l)²) dt``: a polynomial of degree 2r + 1, increasing by construction."""
    def __call__(self, *args: Value, degree: Value = ..., terms: Value = ...) -> Name | Call: ...

sos: _Sos

class _Split(Word):
    """step: The second half of the channels is set aside for the latent; the first half goes on."""
    def __call__(self, *args: Value, prior: Value = ...) -> Name | Call: ...

split: _Split

class _Sqrt(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

sqrt: _Sqrt

class _Squeeze(Word):
    """step: Each k × k block of pixels becomes k² channels."""
    def __call__(self, *args: Value, factor: Value = ...) -> Name | Call: ...

squeeze: _Squeeze

class _Srk(Word):
    """scheme: The stochastic Runge-Kutta scheme SRA1, two evaluations of the drift a step and two normal numbers a coordinate:."""
    def __call__(self, *args: Value, steps: Value = ...) -> Name | Call: ...

srk: _Srk

class _Ssm(Word):
    """loss: Sliced score matching: `ism` with the trace estimated along `projections` random directions of ±1; without."""
    def __call__(self, *args: Value, projections: Value = ..., variance_reduced: Value = ...) -> Name | Call: ...

ssm: _Ssm

class _Standardize(Word):
    """data end: Each coordinate less its mean, over its standard deviation, both recorded from the training rows and then fixed."""
    def __call__(self, *args: Value) -> Name | Call: ...

standardize: _Standardize

class _Stratified(Word):
    """times: One time in each of as many equal parts as the batch has rows: the mean of the loss is that of `uniform`, its."""
    def __call__(self, *args: Value) -> Name | Call: ...

stratified: _Stratified

class _StudentT(Word):
    """distribution: Student's t law with `df` degrees of freedom: normal in the middle, tails like ``|x|^-(df + 1)``."""
    def __call__(self, *args: Value, df: Value = ..., loc: Value = ..., scale: Value = ...) -> Name | Call: ...

student_t: _StudentT

class _Sum(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

sum: _Sum

class _SwissRoll(Word):
    """data: One Archimedean spiral, the Swiss roll seen from the side, blurred by Gaussian noise."""
    def __call__(self, *args: Value, n: Value = ..., scale: Value = ..., noise: Value = ..., seed: Value = ...) -> Name | Call: ...

swiss_roll: _SwissRoll

class _Sylvester(Word):
    """step: A Sylvester flow: k planar moves in orthonormal directions, coupled by triangular matrices."""
    def __call__(self, *args: Value, k: Value = ...) -> Name | Call: ...

sylvester: _Sylvester

class _Tan(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

tan: _Tan

class _Tanh(Word):
    """a function of formulas; scalar: ``y = tanh(x)``."""
    def __call__(self, *args: Value) -> Name | Call: ...

tanh: _Tanh

class _Torus(Word):
    """data: Two clusters of pairs of angles that wind around a torus: `x` is circle[2]."""
    def __call__(self, *args: Value, n: Value = ..., concentration: Value = ..., seed: Value = ...) -> Name | Call: ...

torus: _Torus

class _Transformer(Word):
    """net: ``transformer(64, depth = 4, heads = 4)``: each row a token; attention among tokens and a layer of four times the."""
    def __call__(self, *args: Value, width: Value = ..., depth: Value = ..., heads: Value = ..., causal: Value = ..., position: Value = ..., time: Value = ..., activation: Value = ..., dropout: Value = ...) -> Name | Call: ...

transformer: _Transformer

class _Transpose(Word):
    """a function of formulas."""
    def __call__(self, *args: Value) -> Name | Call: ...

transpose: _Transpose

class _Triangular(Word):
    """linear form: ``W = weight + diag(exp(log_diagonal))``, weight strictly lower (or, with `upper`, upper) triangular."""
    def __call__(self, *args: Value, upper: Value = ...) -> Name | Call: ...

triangular: _Triangular

class _Tsit5(Word):
    """solver: Tsitouras' pair of orders 5 and 4. Reference: Computers and Mathematics with Applications 62, 2011."""
    def __call__(self, *args: Value, rtol: Value = ..., atol: Value = ..., max_steps: Value = ...) -> Name | Call: ...

tsit5: _Tsit5

class _TwoMoons(Word):
    """data: Two interleaving half circles of radius 1, blurred by Gaussian noise (scikit-learn's `make_moons`)."""
    def __call__(self, *args: Value, n: Value = ..., noise: Value = ..., seed: Value = ...) -> Name | Call: ...

two_moons: _TwoMoons

class _TwoSpirals(Word):
    """data: Two Archimedean spirals, one the other's reflection in the origin, blurred by Gaussian noise."""
    def __call__(self, *args: Value, n: Value = ..., turns: Value = ..., scale: Value = ..., noise: Value = ..., seed: Value = ...) -> Name | Call: ...

two_spirals: _TwoSpirals

class _Umnn(Word):
    """scalar: ``y = b + ∫_0^x g(t) dt`` with a positive network of one hidden layer, whose weights are the raw parameters:."""
    def __call__(self, *args: Value, hidden: Value = ..., nodes: Value = ..., bound: Value = ...) -> Name | Call: ...

umnn: _Umnn

class _Unet(Word):
    """net: ``unet(64, 128, 256, attention = [8])``: one width a level, each level half as high and wide as the one above."""
    def __call__(self, *args: Value, channels: Value = ..., attention: Value = ..., time: Value = ..., blocks: Value = ..., heads: Value = ..., groups: Value = ..., activation: Value = ..., dropout: Value = ...) -> Name | Call: ...

unet: _Unet

class _Uniform(Word):
    """dequantizer: ``u ~ U(0, 1)``, independent of x and of the other coordinates; distribution: The uniform law on an interval; times: Each row its own time, uniform over (t_eps, T), over the steps of a chain or the levels of a ladder."""
    def __call__(self, *args: Value, low: Value = ..., high: Value = ...) -> Name | Call: ...

uniform: _Uniform

class _Vamp(Word):
    """distribution: A prior that is the mean of the posteriors at k learned pseudo-inputs."""
    def __call__(self, *args: Value, k: Value = ...) -> Name | Call: ...

vamp: _Vamp

class _Variational(Word):
    """dequantizer: ``u_i = T(v_i; net(x, c)_i)``, v ~ U(0, 1): a learned law of u given the whole event x, independent between."""
    def __call__(self, *args: Value, net: Value = ..., scalar: Value = ...) -> Name | Call: ...

variational: _Variational

class _Vlb(Word):
    """loss: The variational bound on the log-density."""
    def __call__(self, *args: Value, trains: Value = ...) -> Name | Call: ...

vlb: _Vlb

class _VonMises(Word):
    """distribution: The von Mises law on the circle."""
    def __call__(self, *args: Value, loc: Value = ..., concentration: Value = ...) -> Name | Call: ...

von_mises: _VonMises

class _Vq(Word):
    """loss: The commitment of a posterior `nearest` to its codes: ``commitment · E Σ ‖e - c‖²``, the codes held fixed."""
    def __call__(self, *args: Value, commitment: Value = ...) -> Name | Call: ...

vq: _Vq

__all__ = [
    "Spec",
    "actnorm",
    "adam",
    "adamw",
    "additive",
    "affine",
    "along",
    "alternate",
    "ancestral",
    "annealed_langevin",
    "apply",
    "arcsinh",
    "arctan",
    "argmax",
    "augment",
    "autoregressive",
    "batchnorm",
    "bernoulli",
    "bernstein",
    "beta",
    "beta_binomial",
    "between",
    "bijector",
    "binarize",
    "binary",
    "block_autoregressive",
    "bosh3",
    "categorical",
    "category",
    "cauchy",
    "cayley",
    "cd",
    "chain",
    "channels",
    "checkerboard",
    "cholesky",
    "circle",
    "circles",
    "constant",
    "conv",
    "conv1x1",
    "cos",
    "cosh",
    "cosine",
    "coupling",
    "csv",
    "cubic_spline",
    "dag",
    "data",
    "ddim",
    "define",
    "dense",
    "dequantize",
    "diagonal",
    "digits",
    "discretized_logistic",
    "dopri5",
    "dopri8",
    "dot",
    "dsm",
    "edm",
    "eight_gaussians",
    "elbo",
    "elementwise",
    "elu",
    "empirical",
    "energy",
    "erf",
    "erfinv",
    "euler",
    "euler_maruyama",
    "exact",
    "exp",
    "expm",
    "expm1",
    "exponential",
    "false",
    "fisher",
    "flatten",
    "flow",
    "flow_matching",
    "fn",
    "forward_kl",
    "fourier",
    "gamma",
    "generate",
    "given",
    "gumbel_softmax",
    "haar",
    "half",
    "half_cauchy",
    "half_normal",
    "heun",
    "hmc",
    "holdout",
    "householder",
    "hutchinson",
    "idx",
    "images",
    "importance",
    "indices",
    "inf",
    "infer",
    "integer",
    "interval",
    "inverse",
    "ism",
    "iwae",
    "jacobian",
    "kernel",
    "kinetic",
    "langevin",
    "laplace",
    "latent",
    "leaky_relu",
    "learn",
    "like",
    "linear",
    "linear_spline",
    "log",
    "log1p",
    "log_normal",
    "logistic",
    "logistic_mixture_cdf",
    "logit",
    "logsumexp",
    "loss",
    "low_rank",
    "made",
    "mala",
    "markov",
    "masked_conv",
    "max_pool",
    "mc",
    "mean",
    "metropolis",
    "midpoint",
    "milstein",
    "mixture",
    "mlp",
    "model",
    "moebius",
    "multivariate_normal",
    "natural",
    "nearest",
    "negative_binomial",
    "net",
    "nll",
    "norm",
    "normal",
    "npy",
    "npz",
    "observe",
    "ode",
    "orthogonal",
    "param",
    "parquet",
    "path",
    "patience",
    "permute",
    "perturb",
    "pf_ode",
    "pi",
    "pinwheel",
    "planar",
    "plu",
    "poisson",
    "positive",
    "power",
    "predict",
    "qr",
    "quadratic_spline",
    "radial",
    "random",
    "raster",
    "real",
    "reflow",
    "relu",
    "repeat",
    "resampled",
    "reshape",
    "residual",
    "resmlp",
    "resnet",
    "reverse",
    "reverse_kl",
    "reverse_sde",
    "rings",
    "rk4",
    "rqs",
    "sample",
    "sde",
    "setting",
    "sgd",
    "shift_scale",
    "sigmoid",
    "sigmoid_mixture",
    "sign",
    "simplex",
    "simulation",
    "sin",
    "sinh",
    "sinh_arcsinh",
    "softplus",
    "softsign",
    "solve",
    "sort",
    "sos",
    "split",
    "sqrt",
    "squeeze",
    "srk",
    "ssm",
    "standardize",
    "stratified",
    "student_t",
    "swiss_roll",
    "sylvester",
    "sym",
    "tan",
    "tanh",
    "text",
    "torus",
    "train",
    "transformer",
    "transpose",
    "triangular",
    "true",
    "tsit5",
    "two_moons",
    "two_spirals",
    "umnn",
    "unet",
    "uniform",
    "unit",
    "update",
    "use",
    "vamp",
    "variational",
    "vlb",
    "von_mises",
    "vq",
]
