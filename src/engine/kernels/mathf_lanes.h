/*-------------------------------------------------------------------------
 *
 * mathf_lanes.h
 *	  The functions of mathf.h on sixteen lanes: the same operations in the
 *	  same order, with selections instead of branches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ENGINE_MATHF_LANES_H
#define ENGINE_MATHF_LANES_H

/* p * x + c */
#define HORNER(p, x, c) lanes_fma(p, x, lanes_set(c))

/* f32_exp of what is not above 0 (nor NaN, which has no defined result) */
LANES_INLINE Lanes
lanes_exp_not_positive(Lanes x)
{
	const Lanes round = lanes_set(EXP_ROUND);
	Lanes		t = lanes_fma(x, lanes_set(EXP_LOG2E), round);
	Lanes		n = lanes_sub(t, round);
	Lanes		r = lanes_fma(n, lanes_set(-EXP_LN2_HIGH), x);
	Lanes		p;

	r = lanes_fma(n, lanes_set(-EXP_LN2_LOW), r);
	p = HORNER(lanes_set(EXP_C6), r, EXP_C5);
	p = HORNER(p, r, EXP_C4);
	p = HORNER(p, r, EXP_C3);
	p = HORNER(p, r, EXP_C2);
	p = lanes_add(lanes_fma(p, lanes_mul(r, r), r), lanes_set(1.0f));
	p = lanes_add_exponent(p, t);
	return lanes_select(lanes_less(x, lanes_set(EXP_LOWEST)), lanes_zero(), p);
}

LANES_INLINE Lanes
lanes_exp(Lanes x)
{
	return lanes_select(lanes_not_at_most(x, lanes_set(EXP_HIGHEST)),
						lanes_add(x, lanes_set(F32_INFINITY)),
						lanes_exp_not_positive(x));
}

LANES_INLINE Lanes
lanes_tanh(Lanes x)
{
	const Lanes one = lanes_set(1.0f);
	Lanes		a = lanes_abs(x);
	Lanes		u = lanes_mul(a, a);
	Lanes		p = HORNER(lanes_set(TANH_C11), u, TANH_C9);
	Lanes		large;

	p = HORNER(p, u, TANH_C7);
	p = HORNER(p, u, TANH_C5);
	p = HORNER(p, u, TANH_C3);
	p = lanes_fma(lanes_mul(p, u), a, a);
	large = lanes_sub(one, lanes_div(lanes_set(2.0f),
									 lanes_add(lanes_exp(lanes_add(a, a)),
											   one)));
	p = lanes_select(lanes_less(a, lanes_set(TANH_SMALL)), p, large);
	return lanes_with_sign(p, x);
}

LANES_INLINE Lanes
lanes_erf(Lanes x)
{
	Lanes		a = lanes_abs(x);
	Lanes		u = lanes_mul(a, a);
	Lanes		b = lanes_min(lanes_set(ERF_ONE), a);
	Lanes		p = HORNER(lanes_set(ERF_C13), u, ERF_C11);
	Lanes		q = HORNER(lanes_set(ERFC_C7), b, ERFC_C6);

	p = HORNER(p, u, ERF_C9);
	p = HORNER(p, u, ERF_C7);
	p = HORNER(p, u, ERF_C5);
	p = HORNER(p, u, ERF_C3);
	p = HORNER(p, u, ERF_C1);
	p = lanes_fma(p, a, a);

	q = HORNER(q, b, ERFC_C5);
	q = HORNER(q, b, ERFC_C4);
	q = HORNER(q, b, ERFC_C3);
	q = HORNER(q, b, ERFC_C2);
	q = HORNER(q, b, ERFC_C1);
	q = HORNER(q, b, ERFC_C0);
	q = lanes_sub(lanes_set(1.0f), lanes_exp(q));

	p = lanes_select(lanes_less(a, lanes_set(ERF_SMALL)), p, q);
	return lanes_with_sign(p, x);
}

LANES_INLINE Lanes
lanes_silu(Lanes x)
{
	return lanes_div(x, lanes_add(lanes_set(1.0f),
								  lanes_exp(lanes_negate(x))));
}

LANES_INLINE Lanes
lanes_gelu_tanh(Lanes x)
{
	const Lanes one = lanes_set(1.0f);
	Lanes		inner = lanes_mul(lanes_mul(x, lanes_set(GELU_SQRT_2_OVER_PI)),
								  lanes_fma(lanes_mul(x, x),
											lanes_set(GELU_CUBIC), one));

	return lanes_mul(lanes_mul(x, lanes_set(0.5f)),
					 lanes_add(one, lanes_tanh(inner)));
}

LANES_INLINE Lanes
lanes_gelu_erf(Lanes x)
{
	Lanes		erf = lanes_erf(lanes_mul(x, lanes_set(GELU_SQRT_HALF)));

	return lanes_mul(lanes_mul(x, lanes_set(0.5f)),
					 lanes_add(lanes_set(1.0f), erf));
}

#endif							/* ENGINE_MATHF_LANES_H */
