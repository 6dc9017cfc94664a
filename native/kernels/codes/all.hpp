// Every packed format; formats.def names the same ones.
#pragma once

#include "kernels/codes/iq4_nl.hpp"
#include "kernels/codes/q2_k.hpp"
#include "kernels/codes/q3_k.hpp"
#include "kernels/codes/q4_0.hpp"
#include "kernels/codes/q4_1.hpp"
#include "kernels/codes/q4_k.hpp"
#include "kernels/codes/q5_0.hpp"
#include "kernels/codes/q5_1.hpp"
#include "kernels/codes/q5_k.hpp"
#include "kernels/codes/q6_k.hpp"
#include "kernels/codes/q8_0.hpp"
